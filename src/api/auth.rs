use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::Api;
use super::error::Refusal;

/// A bearer token, held as its hash: it cannot be printed and takes the same time to compare.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// From the secret itself.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    fn is(&self, shown: &str) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        // Of hashes: what time tells of them tells nothing of the token.
        shown == self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Lets through what shows the token, or everything where none is configured.
pub(super) async fn require(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if let Some(token) = &api.token {
        let header = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok());
        let shown = header.and_then(|h| h.strip_prefix("Bearer "));
        if !shown.is_some_and(|s| token.is(s)) {
            return Err(Refusal::unauthorized());
        }
    }
    Ok(next.run(request).await)
}
