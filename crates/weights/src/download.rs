//! Downloads a file over HTTPS into memory, bounded in size and time.

use std::io::Read;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Uri;
use ureq::http::header::{CONTENT_LENGTH, LOCATION};

use crate::{FetchEvent, WeightsError};

/// Largest number of redirections.
const MAX_REDIRECTS: usize = 5;
/// Timeout for the connection, the response and the next bytes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Timeout of the whole download.
const LONGEST: Duration = Duration::from_secs(3600);
/// Bytes read at a time.
const PIECE: usize = 1 << 16;

/// A download request.
pub(crate) struct Request<'a> {
    /// The model, for messages.
    pub(crate) name: &'static str,
    pub(crate) url: &'a str,
    pub(crate) max_bytes: u64,
}

/// Downloads a file. `progress` receives the server that is contacted, then the number of bytes.
pub(crate) fn download(
    request: &Request<'_>,
    progress: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<Vec<u8>, WeightsError> {
    let (url, response) = answer(request.url, progress)?;
    let too_large =
        || WeightsError::TooLarge { name: request.name, origin: url.clone(), limit_bytes: request.max_bytes };
    let length = response.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > request.max_bytes) {
        return Err(too_large());
    }
    // Read one byte more than allowed, to distinguish a file that is too large from one that just fits.
    let mut reader = response.into_body().into_reader().take(request.max_bytes + 1);
    let mut bytes = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        let got_bytes = bytes.len() as u64;
        progress(FetchEvent::Received { n_bytes: got_bytes, total_bytes: length });
        match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(WeightsError::BrokenOff { url, got_bytes, source }),
        }
    }
    let got_bytes = bytes.len() as u64;
    if got_bytes > request.max_bytes {
        return Err(too_large());
    }
    match length {
        Some(expected_bytes) if expected_bytes != got_bytes => {
            Err(WeightsError::Truncated { url, got_bytes, expected_bytes })
        }
        _ => Ok(bytes),
    }
}

type Response = ureq::http::Response<ureq::Body>;

/// The first response that is not a redirection, and its URL. Every URL on the way is checked.
fn answer(first: &str, progress: &mut dyn FnMut(FetchEvent<'_>)) -> Result<(String, Response), WeightsError> {
    let mut url = first.to_owned();
    for _ in 0..=MAX_REDIRECTS {
        let uri = checked(&url)?;
        progress(FetchEvent::Connecting { host: uri.host().unwrap_or(&url), patience: PATIENCE });
        let response = agent(&uri)
            .get(&uri)
            .call()
            .map_err(|source| WeightsError::Network { url: url.clone(), source: Box::new(source) })?;
        let status = response.status();
        if status.is_redirection() {
            let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            url = resolved(&uri, target.unwrap_or_default());
        } else if status.as_u16() == 200 {
            return Ok((url, response));
        } else {
            return Err(WeightsError::Status { url, status: status.as_u16() });
        }
    }
    Err(WeightsError::Redirects { url: first.to_owned(), limit: MAX_REDIRECTS })
}

/// Allows HTTPS, and plain HTTP only to localhost, for tests and tunnelled mirrors.
fn checked(url: &str) -> Result<Uri, WeightsError> {
    let uri: Option<Uri> = url.parse().ok();
    let may = |uri: &Uri| match uri.scheme_str() {
        Some("https") => uri.host().is_some_and(|host| !host.is_empty()),
        Some("http") => is_loopback(uri),
        _ => false,
    };
    uri.filter(may).ok_or_else(|| WeightsError::Address { url: url.to_owned() })
}

fn is_loopback(uri: &Uri) -> bool {
    matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

fn agent(uri: &Uri) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("brainreel/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .timeout_global(Some(LONGEST));
    let config = if is_loopback(uri) { config.proxy(None) } else { config };
    config.build().new_agent()
}

/// The target URL of a redirection: absolute, or on the same server.
fn resolved(from: &Uri, target: &str) -> String {
    match (from.scheme_str(), from.authority()) {
        (Some(scheme), Some(authority)) if target.starts_with('/') && !target.starts_with("//") => {
            format!("{scheme}://{authority}{target}")
        }
        _ => target.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_this_machine() {
        for url in
            ["https://example.org/w.pt", "http://127.0.0.1:8000/w", "http://[::1]/w", "http://localhost/w"]
        {
            assert!(checked(url).is_ok(), "{url}");
        }
        for url in [
            "http://example.org/w.pt",
            "http://127.0.0.1.example.org/",
            "http://localhost@example.org/",
            "ftp://example.org/w.pt",
            "file:///etc/passwd",
            "w.pt",
            "",
            "//example.org/w",
        ] {
            assert!(matches!(checked(url), Err(WeightsError::Address { .. })), "{url}");
        }
    }

    #[test]
    fn redirections_on_the_same_server_are_understood() {
        let from: Uri = "https://example.org/a/b".parse().unwrap();
        assert_eq!(resolved(&from, "/c"), "https://example.org/c");
        assert_eq!(resolved(&from, "https://other.org/c"), "https://other.org/c");
        assert!(checked(&resolved(&from, "//other.org/c")).is_err());
        assert!(checked(&resolved(&from, "")).is_err());
    }
}
