//! The unsubscribe page, as mail programs and customers use it.

use reqwest::{Client, Response, StatusCode};

/// Unsubscribes as a mail program does it for its reader (RFC 8058, 3.2).
pub async fn one_click(link: &str) -> Response {
    post(link, "List-Unsubscribe=One-Click").await
}

/// Subscribes again as a customer does it, with the form of the page.
pub async fn subscribe_again(link: &str) -> Response {
    let token = form_token(&page(link).await);
    post(link, &format!("subscribe={token}")).await
}

/// Posts a form to the page.
pub async fn post(link: &str, form: &str) -> Response {
    let post = Client::new().post(link).header("content-type", "application/x-www-form-urlencoded");
    post.body(form.to_owned()).send().await.expect("the page responds")
}

/// The page of a link.
pub async fn page(link: &str) -> String {
    let page = Client::new().get(link).send().await.expect("the page responds");
    assert_eq!(page.status(), StatusCode::OK);
    page.text().await.expect("the page is text")
}

/// The hidden token in the form by which the page subscribes again. It needs no encoding.
///
/// # Panics
/// If the page has no such form.
pub fn form_token(page: &str) -> String {
    let field = page.split_once(r#"<input type="hidden" name="subscribe" value=""#);
    let (_, token) = field.unwrap_or_else(|| panic!("the page has no form to subscribe: {page}"));
    token.split('"').next().unwrap_or_default().to_owned()
}
