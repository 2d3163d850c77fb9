//! `/v1/sessions`

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::StatusCode;
use axum::response::Response;
use axum::Json;
use emotion_llama_core::request::Question;
use serde::Serialize;
use utoipa::ToSchema;

use super::analyze;
use crate::api::intake;
use crate::api::openapi::schema;
use crate::client::Client;
use crate::error::{ApiError, ApiResult};
use crate::state::App;

/// A conversation that was begun.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Session {
    /// Its name in the paths of further calls.
    id: String,
    /// Seconds without a question after which it ends.
    expires_s: f64,
}

/// A conversation's name in a path. What cannot be one names no conversation.
pub struct Id(String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let path: Result<Path<String>, _> = Path::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| ApiError::not_found("the path names no session"))
    }
}

/// `POST /v1/sessions`
///
/// Begins a conversation about a clip, which is read once. The question in the request is not asked.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "v1",
    request_body(content((schema::AnalyzeRequest = "application/json"), (schema::AnalyzeForm = "multipart/form-data"))),
    responses(
        (status = 201, description = "The conversation.", body = Session),
        (status = "4XX", description = "The request or the clip cannot be used.", body = schema::Failure),
        (status = "5XX", description = "Too much to do (503), too long (504), or a defect.", body = schema::Failure),
    )
)]
pub async fn open(
    State(app): State<Arc<App>>,
    client: Client,
    request: Request,
) -> ApiResult<(StatusCode, Json<Session>)> {
    app.engine()?;
    let asked = intake::ask(&app, &client, request).await?;
    let opened = app.sessions.begin(&app, asked, &client)?.outcome().await?;
    let id = app.sessions.keep(opened)?;
    Ok((StatusCode::CREATED, Json(Session { id, expires_s: app.sessions.expires_s() })))
}

/// `POST /v1/sessions/{id}/ask`
///
/// Asks about the clip, after the questions that were asked before. Answers as `POST /v1/analyze`.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/ask", tag = "v1",
    params(("id" = String, Path, description = "The conversation.")),
    request_body = schema::AskRequest,
    responses(
        (status = 200, description = "The analysis, or the events.", content(
            (schema::Analysis = "application/json"), (String = "text/event-stream"),
        )),
        (status = "4XX", description = "There is no such conversation (404), or the question cannot be used.", body = schema::Failure),
        (status = "5XX", description = "Too much to do (503), too long (504), or a defect.", body = schema::Failure),
    )
)]
pub async fn ask(State(app): State<Arc<App>>, Id(id): Id, client: Client, request: Request) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let (text, _) = intake::json(&app, &parts.headers, body).await?;
    let mut question = Question::from_json(&text)?;
    let sampling = &mut question.sampling;
    sampling.max_new_tokens = sampling.max_new_tokens.min(app.config.limits.new_tokens);
    let reader = app.sessions.ask(&app, &id, question, &client).await?;
    analyze::answer(&parts.headers, reader).await
}

/// `POST /v1/sessions/{id}/reset`
///
/// Forgets questions and answers; the clip is kept.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/reset", tag = "v1",
    params(("id" = String, Path, description = "The conversation.")),
    responses(
        (status = 204, description = "Done."),
        (status = "4XX", description = "There is no such conversation (404).", body = schema::Failure),
    )
)]
pub async fn reset(State(app): State<Arc<App>>, Id(id): Id, client: Client) -> ApiResult<StatusCode> {
    app.sessions.reset(&id, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/sessions/{id}`
///
/// Ends the conversation, and what it computes.
#[utoipa::path(
    delete, path = "/v1/sessions/{id}", tag = "v1",
    params(("id" = String, Path, description = "The conversation.")),
    responses(
        (status = 204, description = "Done."),
        (status = "4XX", description = "There is no such conversation (404).", body = schema::Failure),
    )
)]
pub async fn close(State(app): State<Arc<App>>, Id(id): Id, client: Client) -> ApiResult<StatusCode> {
    app.sessions.end(&id, &client)?;
    Ok(StatusCode::NO_CONTENT)
}
