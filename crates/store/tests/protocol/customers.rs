//! Customers: storing, looking up, scanning.

use domain::customer::Projection;
use domain::push::ScanCounts;
use domain::{Customer, EmailAddress, Mobile};
use serde_json::{Value, json};
use store::customers::{ScanPosition, Segment};
use store::pushes::ScanStep;
use testing::{Fault, number_set, string_set};

use crate::world::{World, customer, start_scan};

/// The whole table.
const ALL: Segment = Segment { number: 0, of: 1 };

fn asha(id: &str) -> Customer {
    let body = json!({
        "name": "Asha", "email": "asha@example.com", "mobile": "+351912345678", "channels": ["email", "sms"],
        "locale": "pt-PT", "timeZone": "Europe/Lisbon", "attributes": {"tier": "gold", "spend": 5000}
    });
    Customer::parse(id, body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_customer_is_read_as_stored_until_deleted() {
    let world = World::new();
    let customers = world.customers();
    assert!(customers.put(&asha("c-1")).await.unwrap(), "new");
    assert!(!customers.put(&asha("c-1")).await.unwrap(), "replaced");
    assert_eq!(customers.get(&customer("c-1")).await.unwrap(), Some(asha("c-1")));
    assert_eq!(world.dynamo.requests("GetItem", "Customers")[0]["ConsistentRead"], true);
    customers.delete(&customer("c-1")).await.unwrap();
    assert_eq!(customers.get(&customer("c-1")).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn many_customers_are_stored_in_calls_of_25() {
    let world = World::new();
    let many: Vec<_> = (0..60).map(|number| asha(&format!("c-{number}"))).collect();
    assert_eq!(world.customers().put_many(&many).await.unwrap(), []);
    assert_eq!(world.dynamo.items("Customers").len(), 60);
    assert_eq!(world.dynamo.count("BatchWriteItem", "Customers"), 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_busy_table_leaves_is_tried_again_and_then_returned() {
    let world = World::new();
    let many = [asha("c-1"), asha("c-2"), asha("c-3")];
    world.dynamo.inject("BatchWriteItem", "Customers", [Fault::Unprocessed(2), Fault::Unprocessed(1)]);
    assert_eq!(world.customers().put_many(&many).await.unwrap(), []);
    assert_eq!(world.dynamo.count("BatchWriteItem", "Customers"), 3);

    world.dynamo.inject_always("BatchWriteItem", "Customers", Fault::Unprocessed(1));
    assert_eq!(world.customers().put_many(&many).await.unwrap(), [customer("c-3")]);
    assert_eq!(world.dynamo.count("BatchWriteItem", "Customers"), 3 + 6, "six attempts");
}

#[tokio::test(start_paused = true)]
async fn one_unreadable_customer_does_not_hide_the_others() {
    let world = World::new();
    world.customers().put(&asha("c-1")).await.unwrap();
    world.dynamo.put("Customers", json!({"pk": "c-2", "who": "loaded by another program"}));
    let ids = ["c-1", "c-2", "c-3"].map(customer);
    let found = world.customers().get_many(&ids).await.unwrap();
    assert_eq!(found.customers.into_values().collect::<Vec<_>>(), [asha("c-1")]);
    assert_eq!(found.unreadable, [customer("c-2")].into());
    assert!(world.customers().get(&customer("c-2")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_malformed_address_makes_a_customer_unreadable() {
    for attribute in ["email", "mobile"] {
        let world = World::new();
        world.customers().put(&asha("c-1")).await.unwrap();
        world.dynamo.set("Customers", json!({"pk": "c-1"}), attribute, "nonsense");
        let error = world.customers().get(&customer("c-1")).await.unwrap_err().to_string();
        assert!(error.contains(attribute) && !error.contains("nonsense"), "{error}");
    }
}

/// A release that refuses more than the one before it must not lose the customers who are there.
#[tokio::test(start_paused = true)]
async fn a_customer_whose_values_are_refused_today_is_read_as_stored() {
    for (attribute, value) in [
        ("email", "email@123.123.123.123"),
        ("email", "x@Dom_ain.com"),
        ("mobile", "+351211234567"),
        ("mobile", "+3519000000000"),
        ("mobile", "+88213000000"),
        ("locale", "en-x"),
        ("timeZone", "Europe/Lisbonn"),
        ("name", "\u{3164}\u{202E}"),
    ] {
        let world = World::new();
        world.customers().put(&asha("c-1")).await.unwrap();
        world.dynamo.set("Customers", json!({"pk": "c-1"}), attribute, value);
        let read = world.customers().get(&customer("c-1")).await.unwrap().unwrap();
        let values = [
            read.email.as_ref().map(EmailAddress::as_str),
            read.mobile.as_ref().map(Mobile::as_str),
            read.locale.as_deref(),
            read.time_zone.as_deref(),
            Some(&read.name),
        ];
        assert!(values.contains(&Some(value)), "{attribute} {values:?}");
        // It is listed with the others as well.
        assert_eq!(scan(&world, 1, 10).await, (vec!["c-1".to_owned()], 0, 1), "{attribute}");
        assert!(world.customers().get_many(&[customer("c-1")]).await.unwrap().unreadable.is_empty(), "{attribute}");
    }
}

/// Every item of one segment, page by page.
async fn scan(world: &World, segments: u32, limit: u16) -> (Vec<String>, usize, usize) {
    let (mut ids, mut unreadable, mut pages) = (Vec::new(), 0, 0);
    for segment in 0..segments {
        let mut after: Option<ScanPosition> = None;
        loop {
            let mut page = world
                .customers()
                .scan(Segment { number: segment, of: segments }, &Projection::Whole, after.as_ref(), limit)
                .await
                .unwrap();
            // Each third page ends early.
            if pages % 3 == 2 {
                page.end_after(page.customers.len() / 2);
            }
            ids.extend(page.customers.into_iter().map(|customer| customer.id.to_string()));
            unreadable += page.unreadable.len();
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    ids.sort();
    (ids, unreadable, pages)
}

#[tokio::test(start_paused = true)]
async fn a_scan_returns_own_fields_and_the_attributes_that_are_needed() {
    let world = World::new();
    let asha =
        |id: &str| Customer { email: Some(EmailAddress::stored("Asha@Example.com".to_owned()).unwrap()), ..asha(id) };
    world.customers().put(&asha("c-1")).await.unwrap();
    // Names that DynamoDB reserves or that need quotes in an expression, and one that the customer lacks.
    for (names, expected) in [
        (&["spend"][..], json!({"spend": 5000})),
        (&["spend", "tier", "size", "a.b", "a-b"], json!({"spend": 5000, "tier": "gold"})),
        (&["size"], json!({})),
        (&[], json!({})),
    ] {
        let projection = names.iter().copied().collect();
        let page = world.customers().scan(ALL, &projection, None, 10).await.unwrap();
        let expected = Customer { attributes: expected.as_object().unwrap().clone(), ..asha("c-1") };
        assert_eq!((page.customers, page.unreadable.len()), (vec![expected], 0), "{names:?}");
    }
    let whole = world.customers().scan(ALL, &Projection::Whole, None, 10).await.unwrap();
    assert_eq!(whole.customers, [asha("c-1")]);
    // Around the number of names for which an expression has room.
    for count in 200..=240 {
        let names: Vec<_> = (0..count).map(|number| format!("attribute_{number}")).collect();
        let projection = names.iter().map(String::as_str).collect();
        let page = world.customers().scan(ALL, &projection, None, 10).await.unwrap();
        let is_whole = page.customers == [asha("c-1")];
        assert_eq!((is_whole, page.customers[0].attributes.is_empty()), (count > 218, count <= 218), "{count}");
    }
    let requests = world.dynamo.requests("Scan", "Customers");
    let longest = requests.iter().filter_map(|request| request["ProjectionExpression"].as_str()).map(str::len).max();
    assert!(longest.is_some_and(|length| length <= 4_096), "{longest:?}");
}

/// What is not needed does not make a record unreadable.
#[tokio::test(start_paused = true)]
async fn a_record_is_judged_by_what_is_read_of_it() {
    let world = World::new();
    for attributes in [None, Some(json!([])), Some(json!("gold"))] {
        let mut item = json!({"pk": "c-1", "name": "Asha", "channels": ["email"]});
        if let Some(attributes) = &attributes {
            item["attributes"] = attributes.clone();
        }
        world.dynamo.put("Customers", item);
        let projected = ["tier"].into_iter().collect();
        let page = world.customers().scan(ALL, &projected, None, 10).await.unwrap();
        assert_eq!((page.customers.len(), page.unreadable.len()), (1, 0), "{attributes:?}");
        assert!(page.customers[0].attributes.is_empty(), "{attributes:?}");
        let page = world.customers().scan(ALL, &Projection::Whole, None, 10).await.unwrap();
        assert_eq!(page.customers.is_empty(), attributes.is_some(), "{attributes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn segments_cover_every_customer_once() {
    let world = World::new();
    let mut all: Vec<_> = (0..30).map(|number| format!("c-{number:02}")).collect();
    for id in &all {
        world.customers().put(&asha(id)).await.unwrap();
    }
    all.sort();
    assert_eq!(scan(&world, 4, 3).await.0, all);
    assert_eq!(world.dynamo.requests("Scan", "Customers")[0]["ConsistentRead"], true);
}

/// Items that the bank's own programs wrote may have keys that are no customer's id. A page may end with one.
#[tokio::test(start_paused = true)]
async fn a_foreign_item_at_the_end_of_a_page_stops_no_scan() {
    let world = World::new();
    world.customers().put(&asha("c-1")).await.unwrap();
    world.customers().put(&asha("z-1")).await.unwrap();
    for foreign in ["customer 42", "é", "#", &"x".repeat(100)] {
        world.dynamo.put("Customers", json!({"pk": foreign}));
    }
    // Pages of one item: each foreign item ends one.
    let (ids, unreadable, pages) = scan(&world, 1, 1).await;
    assert_eq!((ids, unreadable), (vec!["c-1".to_owned(), "z-1".to_owned()], 4));
    assert!(pages >= 6, "{pages}");
}

/// A push continues from the key where a page ended, whatever it is.
#[tokio::test(start_paused = true)]
async fn a_push_continues_after_any_key() {
    for foreign in ["customer 42", "é", "日本", "\u{1f600}", "\u{feff}", "a\u{0}b", "\u{2028}", " ", "x\"y\\"] {
        let world = World::new();
        world.push(1).await;
        world.dynamo.put("Customers", json!({"pk": foreign}));
        world.customers().put(&asha("c-1")).await.unwrap();
        let (mut customers, mut unreadable) = (0, 0);
        let mut step = ScanStep::Continue(start_scan(&world, 1).await);
        while let ScanStep::Continue(scan) = step {
            // As the next invocation finds it.
            let continued = start_scan(&world, 1).await;
            assert_eq!(continued.after, scan.after, "{foreign:?}");
            let scan = continued;
            let page = world.customers().scan(ALL, &Projection::Whole, scan.after.as_ref(), 1).await.unwrap();
            (customers, unreadable) = (customers + page.customers.len(), unreadable + page.unreadable.len());
            step = world.pushes().commit_page(&scan, ScanCounts::default(), &[], page.next).await.unwrap();
        }
        assert_eq!((customers, unreadable), (1, 1), "{foreign:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_with_attributes_of_other_types_is_unreadable_and_stops_no_scan() {
    let world = World::new();
    world.customers().put(&asha("c-1")).await.unwrap();
    let wrong = [
        ("name", json!(7)),
        ("name", Value::Null),
        ("emailAsWritten", json!(["a@b.example"])),
        ("mobile", json!({"number": 1})),
        ("channels", json!("email")),
        ("channels", json!(["fax"])),
        ("channels", json!(number_set([1]))),
        ("locale", json!(1)),
        ("timeZone", json!(true)),
        ("attributes", json!([])),
        ("attributes", json!(string_set(["a"]))),
    ];
    for (number, (attribute, value)) in wrong.iter().enumerate() {
        let id = format!("w-{number}");
        world.customers().put(&asha(&id)).await.unwrap();
        world.dynamo.set("Customers", json!({"pk": id}), attribute, value.clone());
    }
    let (ids, unreadable, _) = scan(&world, 1, 1).await;
    assert_eq!((ids, unreadable), (vec!["c-1".to_owned()], wrong.len()));
}

#[tokio::test(start_paused = true)]
async fn few_customers_are_counted_exactly() {
    for number in [0, 3, 200] {
        let world = World::new();
        for number in 0..number {
            world.customers().put(&asha(&format!("c-{number}"))).await.unwrap();
        }
        assert_eq!(world.customers().estimate_count().await.unwrap(), number);
    }
}

/// Each has a fiftieth of a megabyte, so that a page has some fifty.
#[tokio::test(start_paused = true)]
async fn the_number_of_many_customers_is_estimated() {
    let world = World::new();
    let notes = "x".repeat(20_000);
    for number in 0..4_000 {
        world.dynamo.put("Customers", json!({"pk": format!("c-{number}"), "notes": notes}));
    }
    let estimate = world.customers().estimate_count().await.unwrap();
    assert!((2_800..5_200).contains(&estimate), "{estimate}");
    let scans = world.dynamo.requests("Scan", "Customers");
    let segments: Vec<_> = scans.iter().map(|scan| scan["TotalSegments"].as_u64().unwrap()).collect();
    assert_eq!(segments, [[4; 4], [32; 4], [256; 4]].concat());
    assert!(scans.iter().all(|scan| scan["Select"] == "COUNT"), "no customer is read");
}
