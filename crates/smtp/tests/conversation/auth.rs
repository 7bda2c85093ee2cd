//! Passwords.

use smtp::{Credentials, ErrorKind};

use super::{Step, greeted, server, soon};

/// `bank` and `s3cret`, as each mechanism sends them.
const PLAIN: &str = "AUTH PLAIN AGJhbmsAczNjcmV0\r\n";
const USER: &str = "YmFuaw==\r\n";
const PASSWORD: &str = "czNjcmV0\r\n";

#[tokio::test]
async fn password_is_sent_in_a_way_that_the_server_knows() {
    type Case<'c> = (&'c str, &'c [Step<'c>], Option<u16>);
    let login: &[Step] = &[("AUTH LOGIN\r\n", b"334 VXNl\r\n"), (USER, b"334\r\n"), (PASSWORD, b"235 ok\r\n")];
    let cases: [Case; 9] = [
        ("PLAIN LOGIN", &[(PLAIN, b"235 2.7.0 ok\r\n")], None),
        ("PLAIN", &[(PLAIN, b"334 \r\n"), ("AGJhbmsAczNjcmV0\r\n", b"235\r\n")], None),
        ("LOGIN", login, None),
        ("LOGIN PLAIN", &[(PLAIN, b"504 5.5.4 no\r\n"), login[0], login[1], login[2]], None),
        ("LOGIN PLAIN", &[(PLAIN, b"534 5.7.9 weak\r\n"), login[0], login[1], login[2]], None),
        ("LOGIN PLAIN", &[(PLAIN, b"535 5.7.8 wrong\r\n")], Some(535)),
        ("LOGIN PLAIN", &[(PLAIN, b"454 4.7.0 later\r\n")], Some(454)),
        ("LOGIN", &[login[0], login[1], (PASSWORD, b"535 wrong\r\n")], Some(535)),
        ("CRAM-MD5", &[], Some(0)),
    ];
    let credentials = Credentials::new("bank".to_owned(), "s3cret".to_owned());
    for (offered, steps, refused) in cases {
        let hello = format!("250-mx\r\n250 AUTH {offered}\r\n");
        let mut script: Vec<Step> = vec![("", b"220 mx\r\n"), ("EHLO bank.example\r\n", hello.as_bytes())];
        script.extend_from_slice(steps);
        let (stream, rest) = server(&script);
        let mut session = greeted(stream).await;
        let result = session.authenticate(&credentials, soon()).await;
        let code = result.as_ref().err().map(|error| error.reply().map_or(0, |reply| reply.code));
        assert_eq!(code, refused, "{offered}: {result:?}");
        assert!(!format!("{result:?} {credentials:?} {session:?}").contains("cret"), "{offered}");
        drop(session);
        assert_eq!(rest.await.unwrap(), "", "{offered}");
    }
}

#[tokio::test]
async fn refused_password_is_not_repeated_in_the_error() {
    let credentials = Credentials::new("bank".to_owned(), "s3cret".to_owned());
    for (offered, steps) in [
        ("PLAIN", &[(PLAIN, &b"535-5.7.8 AGJhbmsAczNjcmV0\r\n535 5.7.8 AUTH PLAIN AGJhbmsAczNjcmV0\r\n"[..])][..]),
        ("LOGIN", &[("AUTH LOGIN\r\n", b"334\r\n"), (USER, b"334\r\n"), (PASSWORD, b"535 5.7.8 czNjcmV0\r\n")]),
        ("PLAIN", &[(PLAIN, b"334 a\r\n535 5.7.8 AGJhbmsAczNjcmV0\r\n")]),
    ] {
        let hello = format!("250-mx\r\n250 AUTH {offered}\r\n");
        let mut script: Vec<Step> = vec![("", b"220 mx\r\n"), ("EHLO bank.example\r\n", hello.as_bytes())];
        script.extend_from_slice(steps);
        let (stream, _rest) = server(&script);
        let error = greeted(stream).await.authenticate(&credentials, soon()).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("NjcmV0"), "{text}");
        assert!(matches!(error.kind, ErrorKind::NotUsable) || text.starts_with("AUTH: 535 5.7.8 "), "{text}");
    }
}
