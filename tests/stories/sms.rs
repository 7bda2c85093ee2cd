//! Text messages, independently of e-mail. One test at a time: they change the functions' SNS.

use end_to_end::aws_proxy::{AwsCall, AwsProxy, ProxyAction};
use end_to_end::{Bank, counts};
use serde_json::{Value, json};
use tokio::sync::Mutex;

static SNS: Mutex<()> = Mutex::const_new(());

/// Puts a proxy in front of the stack's SNS for as long as `during` takes.
async fn with_sns<T>(
    bank: &Bank,
    decide: impl Fn(&AwsCall<'_>) -> ProxyAction + Send + Sync + 'static,
    during: impl AsyncFnOnce() -> T,
) -> T {
    let sns = AwsProxy::start(&bank.stack.endpoint_url, decide).await;
    bank.aws().set_environment("sms", "AWS_ENDPOINT_URL_SNS", Some(&sns.url)).await;
    let done = during().await;
    bank.aws().set_environment("sms", "AWS_ENDPOINT_URL_SNS", None).await;
    done
}

fn refusal(code: &str, words: &str) -> String {
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{words}</Message></Error></ErrorResponse>"
    )
}

#[tokio::test]
async fn each_consented_channel_gets_one_message() {
    let _guard = SNS.lock().await;
    let bank = Bank::open();
    let mobile = |who: &str| json!(bank.mobile(who));
    bank.put_customers(&[
        bank.customer("both", &json!({"channels": ["email", "sms"], "mobile": mobile("both")})),
        bank.customer("phone", &json!({"channels": ["sms", "email"], "mobile": mobile("phone"), "email": null})),
        bank.customer("mail", &json!({"channels": ["email"], "mobile": mobile("mail")})),
        bank.customer("neither", &json!({"channels": [], "mobile": mobile("neither")})),
    ])
    .await;
    let customers = ["both", "phone", "mail", "neither"];

    let offer = json!({"code": "BOTH", "subject": "🎁 {{ customer.name }}", "description": "Get 5% “cashback”"});
    let offer = bank.post_offer(&offer).await;
    let push = bank.wait_until_completed(&offer).await;
    assert_eq!((&push["eligible"], &push["sent"]), (&json!(4), &json!(4)), "{push}");
    assert_eq!(push["customersEligible"], 4);
    assert_eq!(bank.mail_count().await, counts(&["both", "mail"]));
    let texts = bank.texts(&customers).await;
    assert_eq!(texts.keys().collect::<Vec<_>>(), ["both", "phone"]);
    for (who, texts) in &texts {
        let [text] = &texts[..] else { panic!("one each: {texts:?}") };
        let said = format!("Offercast Bank: 🎁 {who}\nGet 5% \"cashback\"\nReply STOP to opt out");
        assert_eq!(text.message, said);
        assert_eq!(text.message_attributes["AWS.SNS.SMS.SMSType"]["StringValue"], "Promotional", "{text:?}");
    }
    let mut recorded: Vec<_> = bank
        .deliveries(&offer, "state=sent")
        .await
        .iter()
        .map(|delivery| format!("{} {}", delivery["customer"].as_str().unwrap(), delivery["channel"].as_str().unwrap()))
        .collect();
    recorded.sort();
    let wanted = [("both", "email"), ("both", "sms"), ("mail", "email"), ("phone", "sms")];
    assert_eq!(recorded, wanted.map(|(who, channel)| format!("{} {channel}", bank.id(who))));

    // An offer may be limited to one channel.
    let offer = bank.post_offer(&json!({"code": "SMS", "description": "Hello", "channels": ["sms"]})).await;
    assert_eq!(bank.wait_until_completed(&offer).await["sent"], 2);
    assert_eq!(bank.mail_count().await, counts(&["both", "mail"]), "no more e-mail");
    assert!(bank.texts(&["both", "phone"]).await.values().all(|texts| texts.len() == 2));
}

#[tokio::test]
async fn opted_out_number_is_suppressed_and_rejected_number_fails() {
    let _guard = SNS.lock().await;
    let bank = Bank::open();
    let texted = |who: &str| bank.customer(who, &json!({"channels": ["sms"], "mobile": bank.mobile(who)}));
    bank.put_customers(&[texted("gone"), texted("wrong"), texted("good")]).await;
    let (gone, wrong) = (bank.mobile("gone"), bank.mobile("wrong"));
    let (gone_digits, wrong_digits) = (gone[1..].to_owned(), wrong[1..].to_owned());
    let decide = move |call: &AwsCall<'_>| match call.operation {
        "CheckIfPhoneNumberIsOptedOut" => {
            let is_out = call.body.contains(&gone_digits);
            let result = format!(
                "<CheckIfPhoneNumberIsOptedOutResult><isOptedOut>{is_out}</isOptedOut></CheckIfPhoneNumberIsOptedOutResult>"
            );
            ProxyAction::Respond(
                200,
                format!("<CheckIfPhoneNumberIsOptedOutResponse>{result}</CheckIfPhoneNumberIsOptedOutResponse>"),
            )
        }
        "Publish" if call.body.contains(&wrong_digits) => {
            let words = format!("Invalid parameter: PhoneNumber Reason: +{wrong_digits} is not valid to publish to");
            ProxyAction::Respond(400, refusal("InvalidParameter", &words))
        }
        _ => ProxyAction::Pass,
    };
    let before = bank.aws().environment_of("sms").await.get("CHECK_SMS_OPT_OUTS").cloned();
    bank.aws().set_environment("sms", "CHECK_SMS_OPT_OUTS", Some("true")).await;
    let (offer, push) = with_sns(&bank, decide, async || {
        let offer = bank.post_offer(&json!({"code": "OUT", "description": "Hello"})).await;
        let push = bank.wait_until_completed(&offer).await;
        (offer, push)
    })
    .await;
    bank.aws().set_environment("sms", "CHECK_SMS_OPT_OUTS", before.as_deref()).await;

    assert_eq!((&push["sent"], &push["failed"], &push["optedOut"]), (&json!(1), &json!(1), &json!(1)), "{push}");
    let texts = bank.texts(&["gone", "wrong", "good"]).await;
    assert_eq!(texts.keys().collect::<Vec<_>>(), ["good"]);
    let delivery = |who: &str| {
        let query = format!("customer={}", bank.id(who));
        let (bank, offer) = (&bank, &offer);
        async move { bank.deliveries(offer, &query).await.remove(0) }
    };
    let failed = delivery("wrong").await;
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("(number) is not valid to publish to") && !reason.contains(&wrong[1..]), "{reason}");
    assert_eq!(delivery("gone").await["state"], "optedOut");

    // The opt-out is recorded, so SNS is not asked again. An operator sees it and can lift it.
    let path = format!("/suppressions/sms/{}", gone.replace('+', "%2B"));
    assert_eq!(bank.get(&path).await["reason"], "optedOut");
    let again = bank.post_offer(&json!({"code": "AGAIN", "description": "Hello"})).await;
    assert_eq!(bank.wait_until_completed(&again).await["optedOut"], 1);
    let lifted = bank.call("DELETE", &path, &Value::Null).await;
    assert_eq!(lifted.status, 204, "{}", lifted.text);
    let lifted = bank.post_offer(&json!({"code": "BACK", "description": "Hello"})).await;
    assert_eq!(bank.wait_until_completed(&lifted).await["sent"], 3);
}
