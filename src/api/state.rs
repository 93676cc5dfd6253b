use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::Api;
use super::error::Refusal;
use crate::service::{AlertsView, ModelView};

pub(super) async fn models(State(api): State<Api>) -> Json<Vec<ModelView>> {
    Json(api.service.models())
}

pub(super) async fn model(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelView>, Refusal> {
    Ok(Json(api.service.model(&name?)?))
}

pub(super) async fn alerts(State(api): State<Api>) -> Json<AlertsView> {
    Json(api.service.alerts())
}
