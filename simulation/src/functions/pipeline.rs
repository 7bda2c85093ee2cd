//! The functions of the pipeline.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use delivery::compose::letterhead::Letterhead;
use delivery::compose::links::Links;
use delivery::transport::smtp::ServerSettings;
use delivery::{
    Deliverer, EmailComposer, EmailTransport, FullLine, RateLimited, SesTransport, SmtpTransport, SnsOptions,
    SnsTransport, Worker,
};
use domain::{AllowedRecipients, Channel, TransportId};
use futures::FutureExt;
use jiff::SignedDuration;
use runtime::keys::RING_AGE;
use runtime::{EventBus, Keys};
use store::suppressions::BounceRule;
use store::{PushedOffers, Pushes};

use super::Clients;
use super::http::sms_composer;
use crate::providers::SmtpServer;

/// The bank's address.
pub(super) const FROM: &str = "Bank <offers@bank.example>";

/// The number of transient bounces and of days within which they suppress an address: the template's defaults.
const BOUNCES: (u32, u32) = (3, 30);

pub(super) fn push(clients: &Clients) -> push::App {
    let starter = push::PushStarter {
        sources: clients.sources(),
        offers: clients.table(),
        pushes: clients.table(),
        customers: clients.table(),
        audience_queue: clients.queue("AudienceQueue"),
    };
    let publisher =
        push::Publisher { offers: starter.offers.clone(), pushes: starter.pushes.clone(), bus: bus(clients) };
    let channel_queues =
        BTreeMap::from([(Channel::Email, clients.queue("EmailQueue")), (Channel::Sms, clients.queue("SmsQueue"))]);
    push::App::new(starter, publisher, channel_queues)
}

pub(super) fn audience(clients: &Clients) -> audience::App {
    let pushes: Pushes = clients.table();
    let rates = clients.world.people.switches.rates();
    let channel =
        |queue, per_second| audience::ChannelQueue { queue: clients.queue(queue), per_second: rate(per_second) };
    audience::App::new(audience::SliceScanner {
        sources: clients.sources(),
        customers: clients.table(),
        pushed_offers: PushedOffers::new(clients.table(), pushes.clone(), clients.sources()),
        pushes,
        slice_queue: clients.queue("AudienceQueue"),
        channels: BTreeMap::from([
            (Channel::Email, channel("EmailQueue", rates.email)),
            (Channel::Sms, channel("SmsQueue", rates.sms)),
        ]),
    })
}

pub(super) fn email(clients: &Clients) -> email::App<EmailTransport> {
    let settings = &clients.world.scenario.settings;
    let rates = clients.world.people.switches.rates();
    let primary =
        RateLimited { transport: email_transport(clients, settings.email_transport), rate: rate(rates.email) };
    let fallback = settings
        .fallback_email_transport
        .map(|id| RateLimited { transport: email_transport(clients, id), rate: rate(rates.fallback_email) });
    email::App {
        worker: Worker {
            deliverer: deliverer(clients, email_composer(clients), primary, fallback),
            queue: clients.queue("EmailQueue"),
        },
        is_sending_enabled: true,
        test_recipients: AllowedRecipients::default(),
    }
}

pub(super) fn sms(clients: &Clients) -> sms::App<SnsTransport> {
    let options = SnsOptions { sender_id: None, message_type: "Promotional".to_owned(), check_opt_outs: true };
    let transport = SnsTransport::new(&clients.aws, options);
    let primary = RateLimited { transport, rate: rate(clients.world.people.switches.rates().sms) };
    sms::App {
        worker: Worker {
            deliverer: deliverer(clients, sms_composer(), primary, None),
            queue: clients.queue("SmsQueue"),
        },
        is_sending_enabled: true,
        test_recipients: AllowedRecipients::default(),
    }
}

pub(super) fn feedback(clients: &Clients) -> feedback::App {
    let keys = keys(clients);
    feedback::App {
        sources: clients.sources(),
        suppressions: clients.table(),
        deliveries: clients.table(),
        rule: BounceRule::new(BOUNCES.0, BOUNCES.1).expect("the template's defaults are valid"),
        hash_keys: clients.hash_keys(),
        ring: Box::new(move |age| {
            let keys = keys.clone();
            async move { keys.ring(age).await }.boxed()
        }),
        objects: Box::new(|_, _| async { Err("the simulation stores no mail".to_owned()) }.boxed()),
        bus: bus(clients),
        queue: clients.queue("FeedbackQueue"),
    }
}

fn deliverer<C, T>(
    clients: &Clients,
    composer: C,
    primary: RateLimited<T>,
    fallback: Option<RateLimited<T>>,
) -> Deliverer<C, T> {
    let pushes: Pushes = clients.table();
    Deliverer {
        pushed_offers: PushedOffers::new(clients.table(), pushes.clone(), clients.sources()),
        customers: clients.table(),
        suppressions: clients.table(),
        deliveries: clients.table(),
        pushes,
        limits: clients.table(),
        full_line: FullLine::default(),
        sources: clients.sources(),
        hash_keys: clients.hash_keys(),
        composer,
        primary,
        retry_for: SignedDuration::from_hours(clients.world.scenario.settings.retry_hours.into()),
        fallback,
    }
}

fn email_composer(clients: &Clients) -> EmailComposer {
    let keys = keys(clients);
    let ring = Box::new(move || {
        let keys = keys.clone();
        async move { keys.ring(RING_AGE).await }.boxed()
    });
    let mailbox = || FROM.parse().expect("it is a mailbox");
    let links = Links::new("https://offers.bank.example".parse().expect("it is a URL"), ring);
    EmailComposer::new(mailbox(), mailbox(), letterhead(), links)
}

pub(super) fn letterhead() -> Letterhead {
    Letterhead {
        brand_name: "Bank".to_owned(),
        postal_address: "1 Bank Street, London".to_owned(),
        logo_url: None,
        brand_colours: "#1a4d8f".parse().expect("it is a colour"),
    }
}

fn email_transport(clients: &Clients, id: TransportId) -> EmailTransport {
    match id {
        TransportId::Ses => EmailTransport::Ses(SesTransport::new(&clients.aws, Some("offercast".to_owned()))),
        TransportId::Smtp => EmailTransport::Smtp(smtp(clients)),
        TransportId::Sns => panic!("SNS carries no e-mail"),
    }
}

fn smtp(clients: &Clients) -> SmtpTransport {
    let aws = clients.aws.clone();
    let settings = Box::new(move || {
        let aws = aws.clone();
        async move {
            let url = aws.secret("SmtpUrl").await;
            url.map(ServerSettings::of)
                .map_err(|error| delivery::transport::smtp::SettingsError::Unavailable(error.to_string()))
        }
        .boxed()
    });
    let connect = SmtpServer::connector(&clients.world, &clients.process);
    let hello = "bank.example".parse().expect("it is a domain");
    SmtpTransport::over(settings, hello, clients.sources(), connect)
}

fn keys(clients: &Clients) -> Arc<Keys> {
    Arc::new(Keys::new(clients.aws.clone(), "UnsubscribeKeys".to_owned()))
}

fn bus(clients: &Clients) -> EventBus {
    EventBus::new(aws_sdk_eventbridge::Client::new(clients.aws.config()), "EventBus")
}

fn rate(per_second: u32) -> NonZeroU32 {
    NonZeroU32::new(per_second).expect("a rate is at least 1")
}
