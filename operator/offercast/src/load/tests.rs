//! Files as banks have them, and the customers that they become.

use clap::Parser;
use serde_json::{Value, json};

use super::customers::Loaded;
use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ColumnArgs,
}

fn args(line: &[&str]) -> ColumnArgs {
    Line::parse_from(["load"].iter().chain(line)).args
}

/// A file of its own for each test.
fn file(name: &str, content: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("offercast-load-{}-{name}.csv", std::process::id()));
    std::fs::write(&path, content).unwrap();
    path
}

/// What becomes of a file: its customers, lines that are rejected with what is wrong, and notes.
type Read = (Vec<Value>, Vec<(u64, String)>, Vec<String>);

fn read(path: &Path, line: &[&str]) -> Result<Read> {
    let (file, contents) = survey(path, None, &args(line))?;
    let mut reading = Reading::new(&contents);
    let (mut customers, mut rejected) = (Vec::new(), Vec::new());
    for row in file.rows()? {
        match reading.read(row?) {
            None => {}
            Some(Ok(loaded)) => customers.push(loaded.json),
            Some(Err(rejection)) => {
                let faults = rejection.faults.iter().map(|(column, reason)| format!("{column} {reason}"));
                rejected.push((rejection.row.line, faults.collect::<Vec<_>>().join("; ")));
            }
        }
    }
    Ok((customers, rejected, contents.notes.clone()))
}

/// The rows of a file that are accepted.
fn loaded(path: &Path) -> Vec<Loaded> {
    let (file, contents) = survey(path, None, &args(&[])).unwrap();
    let mut reading = Reading::new(&contents);
    file.rows().unwrap().filter_map(|row| reading.read(row.unwrap())?.ok()).collect()
}

#[test]
fn rows_become_customers() {
    let content = "\
ID;Name;E-Mail;Mobile;Channels;Locale;Time Zone;Tier;Balance;VIP
c-1; Asha Rao ;asha@example.com;;email;pt-PT;Europe/Lisbon;gold;12.5;true
;;;;;;;;;
c-2;\"Rao; \"\"Ann\"\"\";;+351912345678;SMS;;;;7;false
";
    let (customers, rejected, notes) = read(&file("rows", content), &[]).unwrap();
    assert_eq!(rejected, []);
    assert_eq!(
        customers,
        [
            json!({"id": "c-1", "name": "Asha Rao", "email": "asha@example.com", "channels": ["email"], "locale": "pt-PT",
                   "timeZone": "Europe/Lisbon", "attributes": {"Tier": "gold", "Balance": 12.5, "VIP": true}}),
            json!({"id": "c-2", "name": "Rao; \"Ann\"", "mobile": "+351912345678", "channels": ["sms"],
                   "attributes": {"Balance": 7, "VIP": false}}),
        ]
    );
    assert_eq!(notes, ["Blanks around a cell are removed: Name in line 2"]);
}

#[test]
fn consent_is_a_list_or_a_column_for_each_channel_or_given_for_all() {
    let of = |header: &str, cells: &str, line: &[&str]| {
        let content = format!("id,name,email,mobile,{header}\nc,C,c@example.com,+351912345678,{cells}\n");
        let (customers, rejected, _) = read(&file("consent", &content), line).unwrap();
        customers.first().map(|customer| customer["channels"].clone()).ok_or(rejected)
    };
    for (header, cells, line, expected) in [
        ("channels", "email;sms", &[][..], json!(["email", "sms"])),
        ("channels", "\"Email, SMS\"", &[], json!(["email", "sms"])),
        ("channels", "", &[], json!([])),
        ("emailConsent,sms consent", "Yes,0", &[], json!(["email"])),
        ("Newsletter", "y", &["--map", "Newsletter=emailConsent"], json!(["email"])),
        ("emailConsent,smsConsent", "Ja,nein", &["--yes", "ja", "--no", "NEIN,nee"], json!(["email"])),
        // No answer is no consent.
        ("emailConsent,smsConsent", ",true", &[], json!(["sms"])),
        ("tier", "gold", &["--consent", "email,sms"], json!(["email", "sms"])),
    ] {
        assert_eq!(of(header, cells, line).unwrap(), expected, "{header}: {cells}");
    }
    let rejected = of("emailConsent", "perhaps", &[]).unwrap_err();
    assert_eq!(
        rejected,
        [(
            2,
            "emailConsent is neither yes nor no: perhaps. If it means one: --yes perhaps, or --no perhaps".to_owned()
        )]
    );
    let longer = of("emailConsent", "asha@example.com", &[]).unwrap_err();
    assert!(longer[0].1.contains("--yes") && !longer[0].1.contains("asha"), "{longer:?}");
    assert!(of("channels", "fax", &[]).unwrap_err()[0].1.starts_with("channels"));
}

#[test]
fn bad_rows_are_named_by_line_and_column_and_the_others_are_read() {
    let content = "\
id,name,Mail,channels,spend
c-1,A,a@example.com,email,1
c-2,B,not an address,email,2
c-1,C,c@example.com,email,3
c-4,D,d@example.com,email
c-5,E,e@example.com,email,many
";
    let line = ["--map", "Mail=email", "--number", "spend"];
    let expected = [
        (3, "Mail is not an e-mail address"),
        (4, "id is in an earlier row already"),
        (5, "row has 4 cells, and the first line 5"),
        (6, "spend is not a number such as 1234.50"),
    ];
    for line_end in ["\n", "\r\n", "\r"] {
        let (customers, rejected, _) = read(&file("bad", &content.replace('\n', line_end)), &line).unwrap();
        assert_eq!((customers.len(), rejected.len()), (1, expected.len()), "{line_end:?}");
        for ((line, faults), (expected_line, begins)) in rejected.iter().zip(expected) {
            assert!(*line == expected_line && faults.starts_with(begins), "{line_end:?}: {line}: {faults}");
        }
    }
}

#[test]
fn rejected_rows_are_loaded_again_as_the_file_was() {
    let content = "id,name,email,channels,zip,spend\nc-1,A,a@example.com,email,007,1\nc-2,B,nobody,email,4000,2\n";
    let path = file("again", content);
    let (csv, contents) = survey(&path, None, &args(&[])).unwrap();
    let mut rejected = Rejected::new(rejected::path_for(&path), csv.delimiter, contents.header());
    let mut reading = Reading::new(&contents);
    for row in csv.rows().unwrap() {
        if let Some(Err(rejection)) = reading.read(row.unwrap()) {
            rejected.add(&rejection).unwrap();
        }
    }
    let path = rejected.path().to_owned();
    rejected.finish().unwrap();

    let written = std::fs::read_to_string(&path).unwrap();
    let (header, row) = written.trim_start_matches('\u{feff}').trim_end().split_once('\n').unwrap();
    assert_eq!(header, "line,field,reason,id,name,email,channels,zip:text,spend:number");
    assert!(row.starts_with("3,email,") && row.ends_with(",c-2,B,nobody,email,4000,2"), "{row}");
    // The person who corrects it need not remove the reasons.
    std::fs::write(&path, written.replace("nobody", "b@example.com")).unwrap();
    let (customers, rejected, _) = read(&path, &[]).unwrap();
    assert_eq!(rejected, []);
    assert_eq!(customers[0]["attributes"], json!({"zip": "4000", "spend": 2}));
}

#[test]
fn a_file_without_customers_or_without_columns_is_refused() {
    for (content, expected) in [
        ("id,name,email,channels\n", "the file has no customers"),
        ("id,name,email,channels\n,,,\n", "the file has no customers"),
        ("customer_id;full name;mail\n1;A;a@b.example\n", "No column is the customers' id"),
        ("id,name,email\n1,A,a@b.example\n", "--consent email"),
    ] {
        let error = format!("{:#}", read(&file("refused", content), &[]).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn consent_without_an_address_is_noticed() {
    for (cells, expected) in [
        ("a@b.example,+351912345678,email;sms", &[][..]),
        ("a@b.example,,email;sms", &[Channel::Sms]),
        (",+351912345678,email", &[Channel::Email]),
        (",,", &[]),
    ] {
        let path = file("unreached", &format!("id,name,email,mobile,channels\nc-1,A,{cells}\n"));
        assert_eq!(loaded(&path)[0].unreached, expected, "{cells}");
    }
}

#[test]
fn numbers_of_a_country_are_written_as_there() {
    let path = file("national", "id,name,mobile,channels\nc-1,A,0151 2345 6789,sms\nc-2,B,12,sms\n");
    let (customers, rejected, _) = read(&path, &["--country", "de"]).unwrap();
    assert_eq!(customers[0]["mobile"], "+4915123456789");
    assert!(rejected[0].0 == 3 && !rejected[0].1.contains("--country"), "{rejected:?}");
    let (customers, rejected, _) = read(&path, &[]).unwrap();
    assert!(customers.is_empty() && rejected[0].1.ends_with("name it: --country PT"), "{rejected:?}");
}

#[test]
fn a_row_that_a_rejected_one_would_replace_is_noticed() {
    let path = file(
        "replaced",
        "id,name,email,channels\nc-1,A,nobody,email\nc-2,B,b@example.com,email\n c-1,C,c@example.com,email\nc-1,D,d@example.com,email\n",
    );
    let before: Vec<_> = loaded(&path).iter().map(|loaded| (loaded.row.line, loaded.rejected_before)).collect();
    assert_eq!(before, [(3, None), (4, Some(2))]);
    let mut lines = Lines::default();
    (0..=PRINTED).for_each(|line| lines.add(|| line.to_string()));
    assert_eq!(lines.shown(), "line 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …");
}

#[test]
fn a_word_that_would_mean_yes_and_no_is_refused() {
    let path = file("words", "id,name,email,emailConsent\nc,C,c@example.com,j\n");
    for (line, expected) in [
        (&["--yes", "J,n", "--no", "N"][..], "`n` would mean both"),
        (&["--yes", "j", "--no", "J"], "`j` would mean both"),
        (&["--no", "1"], "`1` would mean both"),
    ] {
        let error = format!("{:#}", read(&path, line).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
    let unasked = file("unasked", "id,name,email,channels\nc,C,c@example.com,email\n");
    assert!(format!("{:#}", read(&unasked, &["--yes", "ja"]).unwrap_err()).contains("no column is one"));
}

#[test]
fn separators_are_found_whatever_ends_the_lines() {
    let (quoted, named) = (
        "id;name;email;channels\nc-1;\"A, B, C, D\";a@example.com;email\n",
        "sep=;\nid;name;email;channels\nc-1;A;a@example.com;email\n",
    );
    for line_end in ["\n", "\r\n", "\r"] {
        for content in [quoted, named] {
            let (customers, rejected, _) = read(&file("separators", &content.replace('\n', line_end)), &[]).unwrap();
            assert_eq!((customers.len(), rejected.len()), (1, 0), "{content:?} {line_end:?}");
        }
    }
}
