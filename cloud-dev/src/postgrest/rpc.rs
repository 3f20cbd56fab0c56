//! Database functions: this cloud has none, and says so as PostgREST does.
//!
//! Wire source: PostgREST 14, "Functions as RPC".

use http::{Method, StatusCode};

use super::{RestRequest, error::ApiError, json};

/// The answer to any call.
pub(super) fn unknown_function(name: &str, request: &RestRequest) -> ApiError {
    let mut arguments: Vec<String> = match (&request.method, json::Json::parse(&String::from_utf8_lossy(&request.body)))
    {
        (&Method::POST, Ok(json::Json::Object(fields))) => fields.into_iter().map(|(key, _)| key).collect(),
        (&Method::POST, _) => Vec::new(),
        _ => url::form_urlencoded::parse(request.query.as_deref().unwrap_or_default().as_bytes())
            .map(|(key, _)| key.into_owned())
            .filter(|key| !matches!(key.as_str(), "select" | "order" | "limit" | "offset"))
            .collect(),
    };
    arguments.sort();
    let (signature, with) = if arguments.is_empty() {
        (" without parameters".to_owned(), " without parameters".to_owned())
    } else {
        let list = arguments.join(", ");
        (format!("({list})"), format!(" with parameters {list} or with a single unnamed json/jsonb parameter"))
    };
    let or_without = if arguments.is_empty() && request.method == Method::POST {
        " or with a single unnamed json/jsonb parameter"
    } else {
        ""
    };
    ApiError::new(
        StatusCode::NOT_FOUND,
        "PGRST202",
        format!("Could not find the function public.{name}{signature} in the schema cache"),
    )
    .details(format!(
        "Searched for the function public.{name}{with}{or_without}, but no matches were found in the schema cache."
    ))
}
