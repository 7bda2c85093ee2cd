use proptest::prelude::*;

use super::*;
use crate::compose::segments::count;

fn written(text: &str) -> String {
    in_gsm(text).unwrap_or_else(|| panic!("{text:?} is kept")).into_owned()
}

#[test]
fn latin_letters_lose_only_the_accents_that_the_alphabet_lacks() {
    for (text, expected) in [
        ("Inês", "Ines"),
        ("Ine\u{302}s", "Ines"),
        ("cafe\u{301} e\u{300}", "café è"),
        ("São João, coração", "Sao Joao, coracao"),
        ("preço PREÇO", "preco PREÇO"),
        ("Zażółć gęślą jaźń ŁÓDŹ", "Zazolc gesla jazn LODZ"),
        ("Müller, Weißenböck, GROẞ", "Müller, Weißenböck, GROSS"),
        ("Øresund, Ångström, \u{212B}", "Øresund, Ångström, Å"),
        ("Þór, Guðrún, Ðuro", "Thor, Gudrun, Duro"),
        ("İstanbul ısı Şişli Çağlar", "Istanbul isi Sisli Çaglar"),
        ("Łukasz œuvre Œuvre", "Lukasz oeuvre OEuvre"),
        ("Nguyễn Đặng Ậ", "Nguyen Dang A"),
        ("ǖ ǚ", "ü ü"),
        ("ǿ ǻ", "ø å"),
        ("Ștefan Țepeș Şt", "Stefan Tepes St"),
        ("Ħamrun, ŧ, ŋ, ə", "Hamrun, t, ng, e"),
        ("x\u{302}y\u{323}\u{308}", "xÿ".replace('ÿ', "y").as_str()),
        ("ﬁnance ǆ ŉ ĳ", "finance dz 'n ij"),
        ("ＡＢＣ　１２３", "ABC 123"),
        ("𝐁𝐨𝐥𝐝 𝟓%", "Bold 5%"),
    ] {
        assert_eq!(written(text), expected, "{text}");
        assert!(Alphabet::of(&written(text)) == Alphabet::Gsm, "{text}");
    }
}

#[test]
fn symbols_become_what_says_the_same() {
    for (text, expected) in [
        ("Card™ © 2026 Bank®", "Card(TM) (c) 2026 Bank(R)"),
        ("• 5 % – now… “yes” ‘no’ «oui»", "- 5 % - now... \"yes\" 'no' \"oui\""),
        ("5\u{202f}000\u{a0}€", "5 000 €"),
        ("₹500, 500 ₹, 500₹", "INR 500, 500 INR, 500 INR"),
        ("₺1 and ₦2", "TRY 1 and NGN 2"),
        ("5‰", "5 o/oo"),
        ("1½ h, ¼ year, x½", "1 1/2 h, 1/4 year, x 1/2"),
        ("10 m², 5 %¹, 100² mois¹", "10 m2, 5 %(1), 100(2) mois1"),
        ("100①", "100 1"),
        ("≠ ≤ ≥ ± × −5", "<> <= >= +/- x -5"),
        ("N° 5, 1º, 2ª, µ", "No 5, 1o, 2a, u"),
        ("A → B", "A -> B"),
        ("l·l", "l-l"),
        ("it`s ´so´", "it's 'so'"),
        ("Ohm Ω \u{2126}, one{ê}[]~\\|^€", "Ohm Ω Ω, one{e}[]~\\|^€"),
    ] {
        assert_eq!(written(text), expected, "{text}");
    }
}

#[test]
fn what_shows_nothing_is_left_out() {
    for (text, expected) in [
        ("Press 1\u{FE0F}\u{20E3} or #\u{FE0F}\u{20E3} now", "Press 1 or # now"),
        ("Card™\u{FE0F}", "Card(TM)"),
        ("soft\u{AD}hyphen zero\u{200B}width \u{200E}5%\u{200F}", "softhyphen zerowidth 5%"),
        ("two  spaces ê stay", "two  spaces e stay"),
    ] {
        assert_eq!(written(text), expected, "{text}");
    }
}

#[test]
fn text_that_cannot_say_the_same_is_kept() {
    for text in [
        "عرض",
        "नमस्ते",
        "Здравствуйте",
        "Καλημέρα",
        "你好",
        "สวัสดี",
        "שלום",
        "Dear नीता, get 5%",
        "٥٠٠",
        "５００ 円",
        // A price that is crossed out, and "not less than".
        "1\u{336}0\u{336}0\u{336} 80",
        "≮ 5",
        "s\u{336}truck",
        "Rates ↑ ∞",
        "\u{301}",
        "5\u{301}",
        "🎁",
        "Get 🎁 now",
        "★★★★☆ rated ✔",
        "Dear João 👍🏽",
        "🇵🇹",
        "\u{FFFD}",
        "See https://bank.example/verão now",
    ] {
        assert_eq!(in_gsm(text), None, "{text}");
    }
}

#[test]
fn text_in_the_alphabet_is_unchanged() {
    for text in ["", " ", "Dear Ines,\r\n5% {now} [x] ~ € ÇØΔ", "two  spaces ", "https://bank.example/?a=1"] {
        assert!(matches!(in_gsm(text), Some(Cow::Borrowed(same)) if same == text), "{text:?}");
    }
}

#[test]
fn every_letter_of_european_languages_has_a_place() {
    let missing: String = ('\u{C0}'..='\u{17F}')
        .chain('\u{1CD}'..='\u{1DC}')
        .chain('\u{1E00}'..='\u{1E99}')
        .chain('\u{1E9E}'..='\u{1E9E}')
        .chain('\u{1EA0}'..='\u{1EF9}')
        .filter(|c| c.is_alphabetic() && in_gsm(&c.to_string()).is_none())
        .collect();
    assert_eq!(missing, "");
}

proptest! {
    #[test]
    fn any_text_is_kept_or_written_in_the_alphabet(text in any::<String>()) {
        if let Some(gsm) = in_gsm(&text) {
            prop_assert_eq!(Alphabet::of(&gsm), Alphabet::Gsm);
            // What is in the alphabet stays as it is.
            prop_assert_eq!(in_gsm(&gsm), Some(gsm.clone()));
        }
    }

    #[test]
    fn latin_text_takes_no_more_segments_for_it(text in "[A-Za-z0-9 .,À-ÖØ-öø-ÿĀ-ſẀ-Ỽ\u{301}\u{302}\u{323}’–…🎁❤\u{fe0f}\u{200d}]{0,400}") {
        if let Some(gsm) = in_gsm(&text) {
            prop_assert!(count(&gsm) <= count(&plain(&text)), "{gsm:?}");
        }
    }
}
