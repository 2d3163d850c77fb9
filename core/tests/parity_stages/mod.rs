//! One module per part of the model: what it computes from the reference's inputs, compared tensor by tensor.

pub mod encoders;
