use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::compose::sms::DltIds;
use crate::transport::aws_error::tests::{CannedResponse, aws_at, closed_port, respond_once};

fn sns_at(url: &str, check_opt_outs: bool) -> SnsTransport {
    let sender_id = Some("ABank".to_owned());
    SnsTransport::new(&aws_at(url), SnsOptions { sender_id, message_type: "Promotional".into(), check_opt_outs })
}

fn message() -> TextMessage {
    TextMessage { to: "+351912345678".into(), text: "Hello".into(), dlt: DltIds::default() }
}

async fn publish(response: Option<CannedResponse<'_>>) -> (Result<Accepted, SendError>, String) {
    respond_once(response, async |url| sns_at(&url, false).send(&message(), Timestamp::MAX).await).await
}

fn error<'a>(status: u16, code: &str, text: &str, body: &'a mut String) -> Option<CannedResponse<'a>> {
    *body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"
    );
    Some(CannedResponse { status, kind: "", body })
}

#[tokio::test]
async fn text_is_published_with_sender_and_type() {
    let body = "<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>";
    let (sent, request) = publish(Some(CannedResponse { status: 200, kind: "", body })).await;
    assert_eq!(sent.unwrap().message_id, "m-1");
    for part in ["Action=Publish", "PhoneNumber=%2B351912345678", "Message=Hello", "ABank", "Promotional"] {
        assert!(request.contains(part), "{part} in {request}");
    }
}

#[tokio::test]
async fn ids_of_dlt_are_published_to_numbers_in_india_alone() {
    let dlt = |entity: Option<&str>, template: Option<&str>| DltIds {
        entity: entity.map(str::to_owned),
        template: template.map(str::to_owned),
    };
    let options = SnsOptions { message_type: "Promotional".into(), ..SnsOptions::default() };
    let (entity, template) = (("AWS.MM.SMS.EntityId", "11"), ("AWS.MM.SMS.TemplateId", "22"));
    for (to, dlt, expected) in [
        ("+919876543210", dlt(Some("11"), Some("22")), vec![entity, template]),
        ("+919876543210", dlt(Some("11"), None), vec![entity]),
        ("+919876543210", dlt(None, Some("22")), vec![template]),
        ("+919876543210", dlt(None, None), vec![]),
        ("+9199", dlt(Some("11"), Some("22")), vec![entity, template]),
        ("+351912345678", dlt(Some("11"), Some("22")), vec![]),
        ("+12015550191", dlt(Some("11"), Some("22")), vec![]),
        ("+92912345678", dlt(Some("11"), Some("22")), vec![]),
    ] {
        let message = TextMessage { to: to.into(), text: "Hello".into(), dlt };
        assert_eq!(attributes(&options, &message)[1..], expected, "{to} {:?}", message.dlt);
    }
    let message =
        TextMessage { to: "+919876543210".into(), text: "Hello".into(), dlt: dlt(Some("1101"), Some("2202")) };
    let body = "<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>";
    let send = async |url: String| sns_at(&url, false).send(&message, Timestamp::MAX).await;
    let (sent, request) = respond_once(Some(CannedResponse { status: 200, kind: "", body }), send).await;
    assert_eq!(sent.unwrap().message_id, "m-1");
    for part in ["AWS.MM.SMS.EntityId", "1101", "AWS.MM.SMS.TemplateId", "2202", "AWS.SNS.SMS.SenderID"] {
        assert!(request.contains(part), "{part} in {request}");
    }
}

#[tokio::test]
async fn errors_mean_what_their_tables_say() {
    use RefusalKind::{Ambiguous, Message, Recipient, Temporary};
    let refused = |kind| Meaning::Refused(kind);
    let ambiguous = refused(Ambiguous(Suspect::Sender));
    let invalid = "Invalid parameter: PhoneNumber Reason: +351912345678 is not valid to publish to";
    let mut body = String::new();
    for (status, code, text, meaning) in [
        (400, "InvalidParameter", invalid, refused(Recipient)),
        (400, "ParameterValueInvalid", "Invalid phone number", refused(Recipient)),
        (400, "InvalidParameter", "Invalid parameter: Message too long", refused(Message)),
        (400, "InvalidParameter", "Invalid parameter: Empty message", refused(Message)),
        (400, "InvalidParameter", "Invalid parameter: SMSType", Unreachable),
        (400, "InvalidParameter", "Invalid parameter: AWS.SNS.SMS.SenderID", Unreachable),
        (400, "InvalidParameter", "The origination phone number is not yours", Unreachable),
        (400, "InvalidParameter", "something new", ambiguous),
        (400, "ValidationError", "something new", ambiguous),
        (400, "OddError", "something new", ambiguous),
        (400, "Throttling", "Rate exceeded", refused(Temporary)),
        (429, "Throttled", "Rate exceeded", refused(Temporary)),
        (400, "KMSThrottling", "Rate exceeded", refused(Temporary)),
        (403, "AuthorizationError", "no policy allows the sns:Publish action", Unreachable),
        (400, "KMSDisabled", "the key is disabled", Unreachable),
        (404, "NotFound", "no such action", Unreachable),
        (503, "ServiceUnavailable", "later", Unreachable),
        (500, "InternalError", "internal", Meaning::Unanswered),
        (502, "BadGateway", "gateway", Meaning::Unanswered),
        (504, "GatewayTimeout", "gateway", Meaning::Unanswered),
        (500, "InvalidParameter", invalid, Meaning::Unanswered),
    ] {
        let (sent, _) = publish(error(status, code, text, &mut body)).await;
        let (meant, stored) = match sent.unwrap_err() {
            SendError::Refused(refusal) => (refused(refusal.kind), refusal.text),
            SendError::Unreachable(stored) => (Unreachable, stored),
            SendError::Unanswered(stored) => (Meaning::Unanswered, stored),
            other => panic!("{other:?}"),
        };
        assert_eq!(meant, meaning, "{status} {code}: {text}");
        assert!(!stored.contains("351912345678"), "{stored}");
    }
    assert!(ERRORS.iter().all(|row| !row.source.is_empty()));
}

#[tokio::test]
async fn no_connection_is_unreachable_and_no_response_is_unanswered() {
    let (lost, _) = publish(None).await;
    assert!(matches!(lost, Err(SendError::Unanswered(_))), "{lost:?}");
    let refused = sns_at(&closed_port().await, false).send(&message(), Timestamp::MAX).await;
    assert!(matches!(refused, Err(SendError::Unreachable(_))), "{refused:?}");
}

#[tokio::test]
async fn nothing_is_published_to_a_number_that_opted_out() {
    let body = "<CheckIfPhoneNumberIsOptedOutResponse><CheckIfPhoneNumberIsOptedOutResult><isOptedOut>true</isOptedOut>\
                </CheckIfPhoneNumberIsOptedOutResult></CheckIfPhoneNumberIsOptedOutResponse>";
    let send = async |url: String| sns_at(&url, true).send(&message(), Timestamp::MAX).await;
    let (sent, request) = respond_once(Some(CannedResponse { status: 200, kind: "", body }), send).await;
    assert!(matches!(sent, Err(SendError::OptedOut(_))), "{sent:?}");
    assert!(request.contains("CheckIfPhoneNumberIsOptedOut"), "{request}");
}

/// A service that responds to questions with `question` (nothing: never), and accepts each text. Counts both.
async fn serve(listener: TcpListener, question: Option<String>, asked: Arc<AtomicU32>, published: Arc<AtomicU32>) {
    let accepted = "<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>";
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 16_384];
        let mut read = 0;
        while !String::from_utf8_lossy(&request[..read]).contains("Version=") {
            read += stream.read(&mut request[read..]).await.unwrap();
        }
        let is_question = String::from_utf8_lossy(&request[..read]).contains("Action=CheckIfPhoneNumberIsOptedOut");
        let response = if is_question {
            asked.fetch_add(1, Ordering::Relaxed);
            let Some(response) = &question else {
                tokio::spawn(async move { stream.read(&mut [0]).await });
                continue;
            };
            response.clone()
        } else {
            published.fetch_add(1, Ordering::Relaxed);
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{accepted}", accepted.len())
        };
        stream.write_all(response.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn text_is_published_whatever_becomes_of_the_question() {
    let error = |status: u16, code: &str| {
        let body = format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>");
        format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    // Each with how often three texts ask: not for a while after a question without a response.
    for (question, asks) in [
        (Some(error(400, "Throttled")), 3),
        (Some(error(429, "Throttling")), 3),
        (Some(error(403, "AuthorizationError")), 3),
        (Some(error(400, "InvalidParameter")), 3),
        (Some(error(500, "InternalError")), 3),
        (Some(error(503, "ServiceUnavailable")), 3),
        (Some("HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nno answer".to_owned()), 3),
        (Some(String::new()), 1),
        (None, 1),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sns = sns_at(&format!("http://{}", listener.local_addr().unwrap()), true);
        let (asked, published) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let server = tokio::spawn(serve(listener, question.clone(), asked.clone(), published.clone()));
        let began = std::time::Instant::now();
        for _ in 0..3 {
            assert_eq!(sns.send(&message(), Timestamp::MAX).await.unwrap().message_id, "m-1", "{question:?}");
        }
        server.abort();
        assert_eq!(asked.load(Ordering::Relaxed), asks, "{question:?}");
        assert_eq!(published.load(Ordering::Relaxed), 3, "{question:?}");
        assert!(began.elapsed() < QUESTION_TIMEOUT * 2, "{question:?}");
    }
}

#[test]
fn failing_questions_are_logged_once_a_minute_and_not_repeated_without_a_response() {
    let at = |seconds| Timestamp::UNIX_EPOCH + Duration::from_secs(seconds);
    let mut question = Question::default();
    assert!(question.note_error(true, at(0)));
    assert!(question.may_be_asked(at(1)));
    assert!(!question.note_error(false, at(59)));
    assert!(!question.may_be_asked(at(118)));
    assert!(question.may_be_asked(at(119)));
    assert!(question.note_error(true, at(60)));
    assert!(!question.note_error(true, at(61)));
}
