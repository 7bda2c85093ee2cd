//! The bank: its customers, and the offers that it pushes to all of them.

use anyhow::Result;
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use domain::push::PushState;
use domain::queue::{AudienceMessage, Slice};
use domain::{Channel, Offer, OfferId, PushId, Sources, TraceId};
use jiff::Timestamp;
use serde_json::{Value, json};
use store::offers::PushRequest;
use store::{Offers, Pushes, pushes};

use crate::aws::Aws;

/// What an offer says. All customers are eligible.
pub(crate) fn announcement() -> Value {
    json!({
        "subject": "Cashback",
        "description": "Hello {{ customer.name }}, get 5% cashback on 5000 spent.\n\nYour balance is {{ customer.balance }}.",
        "eligibility": "customer.balance >= 5000 && customer.loan == 'no' && customer.age >= 18",
    })
}

/// What is in the tables at first, and a way to start pushes.
pub(crate) struct Bank {
    offers: Offers,
    pushes: Pushes,
    sources: Sources,
    pub(crate) customers: u32,
    customers_per_slice: u32,
}

impl Bank {
    pub(crate) fn new(aws: &Aws, url: &str, customers: u32, customers_per_slice: u32) -> Self {
        let credentials = Credentials::new("rig", "rig", None, None, "rig");
        let client = Client::new(&client::sdk_config(url, "eu-west-1", credentials));
        let sources = Sources::new(Timestamp::now, testing::seeded(Timestamp::now().as_microsecond().unsigned_abs()));
        for row in 1..=customers {
            aws.put("Customers", &customer(row as usize));
        }
        // Nothing of releases before keyed hashes is left, as in any stack after its first hours.
        aws.put("Suppressions", &json!({"pk": "migration#keyedHashes"}));
        let offers = Offers::new(client.clone(), "Offers", sources.clone());
        Self { offers, pushes: Pushes::new(client, "Pushes", sources.clone()), sources, customers, customers_per_slice }
    }

    /// Stores an offer to all customers, and starts a push of it. Returns the messages of its slices as well.
    pub(crate) async fn start_push(&self, channel: Channel) -> Result<(PushId, Vec<String>)> {
        let id = OfferId::generate(&self.sources);
        let mut offer = announcement();
        offer["id"] = json!(id);
        offer["code"] = json!(format!("R{}", id.to_string().replace('-', "")));
        offer["channels"] = json!([channel]);
        offer["createdAt"] = json!(self.sources.now());
        offer["createdBy"] = json!("rig");
        let offer: Offer = serde_json::from_value(offer)?;
        self.offers.create(&offer, None, TraceId::generate(&self.sources)).await?;
        let push = PushId { offer: id, number: 1 };
        let request = PushRequest {
            push,
            requested_by: "rig".to_owned(),
            requested_at: self.sources.now(),
            retry_rejected: false,
            lost_deliveries: 0,
            trace: None,
        };
        let slices = self.customers.div_ceil(self.customers_per_slice);
        self.pushes.create(&request, pushes::Plan::Now { slices }).await?;
        let messages = (0..slices).map(|index| AudienceMessage::Slice(Slice { push, index, generation: 1 }));
        Ok((push, messages.map(|message| serde_json::to_string(&message)).collect::<Result<_, _>>()?))
    }

    pub(crate) async fn is_completed(&self, push: PushId) -> Result<bool> {
        Ok(self.pushes.get(push).await?.is_some_and(|push| push.state == PushState::Completed))
    }
}

/// A customer with as many attributes as a bank's records have. The offer is for all of them.
fn customer(row: usize) -> Value {
    let pick = |of: &[&'static str]| of[row % of.len()];
    json!({
        "pk": format!("customer-{row}"), "name": format!("Customer {row}"), "email": format!("customer-{row}@example.com"),
        "mobile": format!("+44770{:07}", row), "channels": ["email", "sms"], "locale": pick(&["en-GB", "pt-PT", "de-DE"]),
        "attributes": {
            "age": 18 + row * 13 % 70, "job": pick(&["services", "technician", "management", "retired"]),
            "marital": pick(&["married", "single"]), "education": pick(&["primary", "secondary", "tertiary"]),
            "default": "no", "balance": 5_000 + row * 37 % 9_000, "housing": pick(&["yes", "no"]), "loan": "no",
            "contact": "cellular", "day": row % 28, "month": pick(&["jan", "feb", "mar"]), "duration": row % 900,
            "campaign": row % 5, "pdays": row % 300, "previous": row % 3, "poutcome": "unknown", "tier": "gold",
        },
    })
}
