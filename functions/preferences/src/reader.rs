//! The language of a page: that of the message whose link was followed, or else what the reader's browser asks for.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::request::Parts;
use domain::unsubscribe::LANGUAGE_PARAMETER;
use language::{Catalogue, Language};

use crate::app::App;

/// The catalogue for a reader.
pub(crate) struct Reader(pub(crate) &'static Catalogue);

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let query =
            Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|Query(query)| query).unwrap_or_default();
        let of_link = query.iter().find(|(name, _)| name == LANGUAGE_PARAMETER).map(|(_, tag)| tag.as_str());
        let accepted = parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Ok(Self(catalogue(of_link, accepted.unwrap_or_default(), app.pages.default_language())))
    }
}

/// The first that has a catalogue: the language of the link, those that the browser accepts (RFC 9110, 12.5.4), the default.
fn catalogue(of_link: Option<&str>, accepted: &str, default: &Language) -> &'static Catalogue {
    of_link
        .into_iter()
        .chain(by_preference(accepted))
        .filter_map(|tag| Catalogue::of(&tag.parse().ok()?))
        .next()
        .unwrap_or_else(|| Catalogue::of_or_english(default))
}

/// The languages of an `Accept-Language` header, the preferred ones first. Without those that are not acceptable.
fn by_preference(accepted: &str) -> Vec<&str> {
    /// More than any browser sends.
    const LIMIT: usize = 30;
    let mut weighted: Vec<_> = accepted
        .split(',')
        .take(LIMIT)
        .filter_map(|range| {
            let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
            let weight: f32 = weight.trim().strip_prefix("q=")?.parse().ok()?;
            (weight > 0.0).then_some((tag.trim(), weight))
        })
        .collect();
    // Stable: of equal weight, the first one is preferred.
    weighted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    weighted.into_iter().map(|(tag, _)| tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_in_the_language_of_the_message_or_of_the_browser() {
        for (of_link, accepted, expected) in [
            (Some("pt-PT"), "de", "pt-PT"),
            (Some("ar-EG"), "", "ar"),
            (Some("tlh"), "fr-CH, fr;q=0.9, en;q=0.8", "fr"),
            (Some("<script>"), "it", "it"),
            (None, "tlh-AQ, tlh;q=0.9, pl;q=0.5, de;q=0.8", "de"),
            (None, "de;q=0, es;q=0.1", "es"),
            (None, "*", "nl"),
            (None, "", "nl"),
            (None, ";;;,,q=,de;q=x", "nl"),
        ] {
            let found = catalogue(of_link, accepted, &"nl".parse().unwrap());
            assert_eq!(found.language().to_string(), expected, "{of_link:?} {accepted}");
        }
    }
}
