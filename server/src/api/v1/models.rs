//! `GET /v1/models`

use std::sync::Arc;

use axum::extract::State;
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::openapi::schema;
use crate::error::ApiResult;
use crate::state::App;

/// The models of this server, the one that answers first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Models {
    /// `list`
    object: &'static str,
    /// The models.
    data: Vec<Model>,
}

/// A model.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Model {
    /// Name of the pack.
    id: String,
    /// `model`
    object: &'static str,
    /// Version of the pack.
    version: String,
    /// SHA-256 of the pack's manifest.
    digest: String,
    /// What kind of model it is.
    architecture: String,
    /// The label words, in order.
    labels: Vec<String>,
    /// `emotion`, and `reason` where the model gives reasons.
    tasks: Vec<String>,
    /// What it computes with: `cpu`, after a graphics processor (`cuda:0`) if there is one.
    devices: Vec<String>,
}

/// `GET /v1/models`
///
/// The models of this server, the one that answers first.
#[utoipa::path(
    get, path = "/v1/models", tag = "v1",
    responses(
        (status = 200, description = "The models.", body = Models),
        (status = "4XX", description = "Who calls may not.", body = schema::Failure),
        (status = "5XX", description = "The model is being loaded (503).", body = schema::Failure),
    )
)]
pub async fn list(State(app): State<Arc<App>>) -> ApiResult<Json<Models>> {
    let engine = app.engine()?;
    let (pack, manifest) = (engine.pack(), engine.pack().manifest());
    let model = Model {
        id: manifest.name.clone(),
        object: "model",
        version: manifest.version.clone(),
        digest: pack.digest().to_owned(),
        architecture: manifest.model.architecture().to_string(),
        labels: manifest.labels.clone(),
        tasks: manifest.model.tasks().iter().map(ToString::to_string).collect(),
        devices: engine.devices(),
    };
    Ok(Json(Models { object: "list", data: vec![model] }))
}
