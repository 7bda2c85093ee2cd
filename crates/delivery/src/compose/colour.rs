//! Colours of e-mails, and which of them are readable on which: the contrast of WCAG 2.2.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

/// The least contrast of text with its ground (WCAG 2.2, 1.4.3).
pub const TEXT_CONTRAST: f64 = 4.5;
/// The least contrast of what marks a control, such as a button's edge (WCAG 2.2, 1.4.11).
pub const EDGE_CONTRAST: f64 = 3.0;

/// How finely a colour is mixed with black or white until it is readable.
const STEPS: u16 = 64;

/// A colour in sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour([u8; 3]);

/// A text that names no colour. To follow the name of the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a colour such as #1d4fa8: # and six hexadecimal digits")]
pub struct InvalidColour;

impl FromStr for Colour {
    type Err = InvalidColour;

    fn from_str(string: &str) -> Result<Self, InvalidColour> {
        let digits = string.strip_prefix('#').ok_or(InvalidColour)?;
        if digits.len() != 6 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(InvalidColour);
        }
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).map_err(|_| InvalidColour)?.to_be_bytes();
        Ok(Self::rgb(red, green, blue))
    }
}

/// As CSS and HTML write it: `#rrggbb`.
impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An e-mail has some forty colours, and to format three numbers takes longer than to look their digits up.
        let mut digits = [0; 6];
        HEXLOWER.encode_mut(&self.0, &mut digits);
        f.write_str("#")?;
        f.write_str(std::str::from_utf8(&digits).expect("hexadecimal digits are ASCII"))
    }
}

impl Colour {
    pub const BLACK: Self = Self([0; 3]);
    pub const WHITE: Self = Self([255; 3]);

    pub(super) const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self([red, green, blue])
    }

    /// From 0 for black to 1 for white (WCAG 2.2, relative luminance).
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|channel| {
            let channel = f64::from(channel) / 255.0;
            if channel <= 0.04045 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// From 1 for equal colours to 21 for black and white (WCAG 2.2, contrast ratio).
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Black or white: the one that is read better on this ground. Its contrast is at least 4.58.
    #[must_use]
    pub fn text_on_it(self) -> Self {
        if self.contrast(Self::WHITE) >= self.contrast(Self::BLACK) { Self::WHITE } else { Self::BLACK }
    }

    /// This colour, or if its contrast with `ground` is below `contrast`, one of its hue that is as much darker or lighter
    /// as is needed. `contrast` is at most 4.58, or else less than that of the ground with black or white.
    #[must_use]
    pub fn readable_on(self, ground: Self, contrast: f64) -> Self {
        if self.contrast(ground) >= contrast {
            return self;
        }
        let end = ground.text_on_it();
        let is_enough = |mixed: Self| {
            let is_beyond = (mixed.luminance() > ground.luminance()) == (end == Self::WHITE);
            is_beyond && mixed.contrast(ground) >= contrast
        };
        // The more of the end is in the mix, the more it differs from the ground.
        let (mut too_little, mut enough) = (0, STEPS);
        while enough - too_little > 1 {
            let middle = too_little.midpoint(enough);
            if is_enough(self.mixed_with(end, middle)) { enough = middle } else { too_little = middle }
        }
        self.mixed_with(end, enough)
    }

    /// With `part` of [`STEPS`] of the other colour.
    fn mixed_with(self, other: Self, part: u16) -> Self {
        let mut mixed = self.0;
        for (channel, other) in mixed.iter_mut().zip(other.0) {
            let sum = u16::from(*channel) * (STEPS - part) + u16::from(other) * part;
            *channel = u8::try_from(sum / STEPS).expect("the mean of two octets is one");
        }
        Self(mixed)
    }
}

/// The colours of a message in one mode, light or dark, apart from those of the brand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Theme {
    /// Around the card.
    pub(super) ground: Colour,
    /// Behind the content.
    pub(super) card: Colour,
    /// Of thin lines.
    pub(super) line: Colour,
    /// Of the content.
    pub(super) text: Colour,
    /// Of what is less important, on both grounds.
    pub(super) soft: Colour,
    /// The contrast of links with the card. On dark grounds, colours seem duller.
    link_contrast: f64,
}

pub(super) const LIGHT: Theme = Theme {
    ground: Colour::rgb(0xf3, 0xf5, 0xf8),
    card: Colour::WHITE,
    line: Colour::rgb(0xe3, 0xe8, 0xee),
    text: Colour::rgb(0x13, 0x1a, 0x22),
    soft: Colour::rgb(0x55, 0x60, 0x6d),
    link_contrast: TEXT_CONTRAST,
};

pub(super) const DARK: Theme = Theme {
    ground: Colour::rgb(0x0f, 0x17, 0x20),
    card: Colour::rgb(0x18, 0x22, 0x2d),
    line: Colour::rgb(0x2d, 0x3a, 0x47),
    text: Colour::rgb(0xea, 0xef, 0xf4),
    soft: Colour::rgb(0xaa, 0xb6, 0xc2),
    link_contrast: 6.0,
};

impl Theme {
    /// The brand's colour as that of text on the card.
    fn link(&self, brand: Colour) -> Colour {
        brand.readable_on(self.card, self.link_contrast)
    }

    /// The brand's colour as the edge of a button on the card.
    fn edge(&self, brand: Colour) -> Colour {
        brand.readable_on(self.card, EDGE_CONTRAST)
    }
}

/// The brand's colour, and those that are derived from it.
#[derive(Debug, Clone, Copy)]
pub struct BrandColours {
    pub(super) colour: Colour,
    pub(super) text_on_it: Colour,
    pub(super) link: Colour,
    pub(super) edge: Colour,
    pub(super) dark_link: Colour,
    pub(super) dark_edge: Colour,
}

/// From the brand's colour.
impl FromStr for BrandColours {
    type Err = InvalidColour;

    fn from_str(string: &str) -> Result<Self, InvalidColour> {
        let colour: Colour = string.parse()?;
        Ok(Self {
            colour,
            text_on_it: colour.text_on_it(),
            link: LIGHT.link(colour),
            edge: LIGHT.edge(colour),
            dark_link: DARK.link(colour),
            dark_edge: DARK.edge(colour),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(text: &str) -> Colour {
        text.parse().unwrap()
    }

    /// Every colour of a grid of 18 steps in each channel, with both ends.
    fn grid() -> impl Iterator<Item = Colour> {
        let steps = || (0..=255).step_by(15);
        steps()
            .flat_map(move |red| steps().flat_map(move |green| steps().map(move |blue| Colour::rgb(red, green, blue))))
    }

    #[test]
    fn colour_is_a_number_sign_and_six_digits() {
        assert_eq!(colour("#1D4fa8").to_string(), "#1d4fa8");
        assert_eq!(colour("#000000"), Colour::BLACK);
        for bad in
            ["", "#", "1d4fa8", "#1d4fa", "#1d4fa88", "#1d4fa8ff", "#fff", "#1d4fag", "blue", "#é1d4f", " #1d4fa8"]
        {
            assert_eq!(bad.parse::<Colour>(), Err(InvalidColour), "{bad}");
        }
    }

    #[test]
    fn contrast_is_that_of_wcag() {
        for (a, b, expected) in [
            ("#000000", "#ffffff", 21.0),
            ("#ffffff", "#ffffff", 1.0),
            ("#767676", "#ffffff", 4.54),
            ("#777777", "#ffffff", 4.48),
            ("#ff0000", "#ffffff", 4.0),
            ("#0000ff", "#ffffff", 8.59),
        ] {
            let contrast = colour(a).contrast(colour(b));
            assert!((contrast - expected).abs() < 0.01, "{a} on {b}: {contrast}");
            assert!((contrast - colour(b).contrast(colour(a))).abs() < 1e-12, "either may be the ground");
        }
    }

    #[test]
    fn any_brand_colour_leaves_every_text_readable() {
        for brand in grid() {
            assert!(brand.contrast(brand.text_on_it()) >= TEXT_CONTRAST, "a button's words on {brand}");
            for theme in [LIGHT, DARK] {
                let (link, edge) = (theme.link(brand), theme.edge(brand));
                assert!(link.contrast(theme.card) >= theme.link_contrast, "{brand} as link {link}");
                assert!(edge.contrast(theme.card) >= EDGE_CONTRAST, "{brand} as edge {edge}");
            }
            // The plate under a logo, with the bank's name where images are blocked, stays white in dark mode.
            assert!(LIGHT.link(brand).contrast(Colour::WHITE) >= TEXT_CONTRAST, "{brand} on a logo's plate");
        }
    }

    #[test]
    fn texts_are_readable_in_both_modes() {
        for theme in [LIGHT, DARK] {
            assert!(theme.link_contrast >= TEXT_CONTRAST);
            for text in [theme.text, theme.soft] {
                for ground in [theme.ground, theme.card] {
                    assert!(text.contrast(ground) >= TEXT_CONTRAST, "{text} on {ground}");
                }
            }
        }
    }

    #[test]
    fn readable_colour_stays_as_it_is_and_others_keep_their_hue() {
        assert_eq!(colour("#1d4fa8").readable_on(Colour::WHITE, TEXT_CONTRAST), colour("#1d4fa8"));
        let Colour([red, green, blue]) = colour("#ffe000").readable_on(Colour::WHITE, TEXT_CONTRAST);
        assert!(red > 100 && green > 90 && blue == 0, "a darker yellow: {red} {green} {blue}");
        assert_eq!(Colour::WHITE.readable_on(Colour::WHITE, 3.0).contrast(Colour::WHITE).floor(), 3.0);
        assert_eq!(Colour::BLACK.readable_on(DARK.card, 6.0).contrast(DARK.card).floor(), 6.0);
    }
}
