use super::sample::tests::composer;
use super::tally::{Survey, Tally};
use domain::{Audience, Customer};
use serde_json::json;
#[test]
fn bench() {
    for (what, body) in [
        (
            "short",
            json!({"code":"A","subject":"5% for {{ customer.name }}","description":"Get 5% cashback on 5000 spent"}),
        ),
        (
            "rich",
            json!({"code":"A","subject":"5% for {{ customer.name }}","preheader":"Until Friday","terms":"Terms apply. ".repeat(40),
          "description": format!("Dear {{{{ customer.name | default: \"customer\" }}}},\n\n{}\n\n- one **two**\n- three\n\nYour limit is {{{{ customer.limit | money: \"EUR\" }}}} until {{{{ customer.day | date: \"long\" }}}}", "Get 5% cashback on all you spend. ".repeat(20)),
          "link":{"url":"https://bank.example/?c={{ customer.id }}","label":"Get it"},
          "translations": {"de":{"subject":"5 %"},"fr":{"subject":"5 %"},"pt-PT":{"subject":"5 %"},"ar":{"subject":"5 %"}}}),
        ),
        (
            "long",
            json!({"code":"A","subject":"5%","description":"Get 5% *cashback* on 5000 spent, {{ customer.name }}. ".repeat(180)}),
        ),
    ] {
        for channels in [json!(["email"]), json!(["email", "sms"])] {
            let mut body = body.clone();
            body["channels"] = channels.clone();
            let offer = testing::offer(body);
            let composer = composer();
            let customers: Vec<_> = (0..2000).map(|n| Customer::parse(&format!("c-{n}"), json!({"name": format!("Inês {n}"), "email":"a@b.example","mobile":"+351912345678","channels":["email","sms"],
          "locale": ["en-IN","de-CH","pt-AO","sv-SE","ar"][n%5], "attributes":{"limit":5000.5+n as f64,"day":"2026-12-24","tier":"gold"}})).unwrap()).collect();
            for compose in [false, true] {
                let until = if compose {
                    tokio::time::Instant::now() + std::time::Duration::from_secs(600)
                } else {
                    tokio::time::Instant::now()
                };
                let survey = Survey::new(&offer, Audience::of(&offer).unwrap(), &composer, until);
                let mut tally = Tally::default();
                let n = if what == "long" { 200 } else { 2000 };
                let began = std::time::Instant::now();
                for customer in &customers[..n] {
                    tally.add(&survey, customer);
                }
                println!(
                    "{what} {channels} compose={compose}: {:.1} us per customer",
                    began.elapsed().as_secs_f64() * 1e6 / n as f64
                );
            }
        }
    }
}
