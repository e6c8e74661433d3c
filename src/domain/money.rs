//! Money as integers, and the one rounding rule.
//!
//! Owns currencies with their minor units (ISO 4217) and exact ratios. Amounts
//! are never floats and never scaled by a fixed 100: KRW and JPY have no minor
//! unit, USD has two digits, KWD three.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An ISO 4217 currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Currency {
    /// South Korean won, no minor unit.
    KRW,
    /// Japanese yen, no minor unit.
    JPY,
    /// United States dollar, cents.
    USD,
    /// Euro, cents.
    EUR,
    /// Kuwaiti dinar, thousandths.
    KWD,
}

impl Currency {
    /// Decimal digits of the minor unit.
    pub const fn digits(self) -> u32 {
        match self {
            Currency::KRW | Currency::JPY => 0,
            Currency::USD | Currency::EUR => 2,
            Currency::KWD => 3,
        }
    }

    /// The numeric ISO 4217 code, as Currency-Code has it (RFC 8506 section 8.11).
    pub const fn number(self) -> u32 {
        match self {
            Currency::KRW => 410,
            Currency::JPY => 392,
            Currency::USD => 840,
            Currency::EUR => 978,
            Currency::KWD => 414,
        }
    }

    /// `digits` × 10^`exponent` units of the currency in its minor unit; `None`
    /// where that is no whole number or does not fit.
    pub fn minor_of(self, digits: i64, exponent: i32) -> Option<i64> {
        let shift = i64::from(exponent) + i64::from(self.digits());
        let power = 10i64.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?);
        match (power, shift >= 0) {
            (Some(power), true) => digits.checked_mul(power),
            (Some(power), false) => (digits % power == 0).then(|| digits / power),
            (None, _) => (digits == 0).then_some(0),
        }
    }

    /// The ISO 4217 code.
    pub const fn code(self) -> &'static str {
        match self {
            Currency::KRW => "KRW",
            Currency::JPY => "JPY",
            Currency::USD => "USD",
            Currency::EUR => "EUR",
            Currency::KWD => "KWD",
        }
    }
}

/// An amount in the currency's minor unit; credits are negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units: won for KRW, cents for USD.
    pub minor: i64,
    /// What they are units of.
    pub currency: Currency,
}

impl Money {
    /// `minor` units of `currency`.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Decimal text without grouping, as TMF `Money.value` wants it: `12000`, `12.34`.
    pub fn decimal(self) -> String {
        let digits = self.currency.digits() as usize;
        let sign = if self.minor < 0 { "-" } else { "" };
        let text = format!("{:0>width$}", self.minor.unsigned_abs(), width = digits + 1);
        let (whole, part) = text.split_at(text.len() - digits);
        if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
    }
}

/// Grouped for people: `12,000 KRW`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.decimal();
        let (sign, digits) = plain.strip_prefix('-').map_or(("", plain.as_str()), |d| ("-", d));
        let (whole, part) = digits.split_once('.').map_or((digits, None), |(w, p)| (w, Some(p)));
        f.write_str(sign)?;
        for (i, c) in whole.chars().enumerate() {
            if i > 0 && (whole.len() - i) % 3 == 0 {
                f.write_str(",")?;
            }
            write!(f, "{c}")?;
        }
        if let Some(part) = part {
            write!(f, ".{part}")?;
        }
        write!(f, " {}", self.currency.code())
    }
}

/// An exact decimal of minor units, such as `11` or `0.35`: what a price list may
/// name where a whole minor unit is too coarse. Never negative.
///
/// In text it is a whole number, or a decimal in quotes; a bare `0.35` would be a
/// binary fraction, and is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rate {
    digits: i64,
    /// Decimal places, 0 to [`Rate::PLACES_MAX`].
    places: u8,
}

impl Rate {
    /// Most decimal places.
    pub const PLACES_MAX: u8 = 9;
    /// Costs nothing.
    pub const FREE: Rate = Rate::whole(0);

    /// Whole minor units; a negative number counts as nothing, see [`Rate::parse`].
    pub const fn whole(minor: i64) -> Self {
        Self { digits: if minor < 0 { 0 } else { minor }, places: 0 }
    }

    /// Reads `11`, `0.35` or `12.000000001`; `None` for anything else, and for
    /// what is negative or has more than [`Rate::PLACES_MAX`] places.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').map_or((text, None), |(whole, part)| (whole, Some(part)));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let part = part.filter(|part| is_number(part)).or(part.is_none().then_some(""))?;
        let places = u8::try_from(part.len()).ok().filter(|places| *places <= Self::PLACES_MAX)?;
        let digits = format!("{whole}{part}").parse().ok().filter(|_| is_number(whole))?;
        Some(Self { digits, places })
    }

    /// Whether it is nothing.
    pub const fn is_free(self) -> bool {
        self.digits == 0
    }

    /// `times` of it.
    pub fn times(self, times: u64) -> Ratio {
        let numerator = i128::from(times) * i128::from(self.digits);
        Ratio { numerator, denominator: 10i128.pow(u32::from(self.places)) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = usize::from(self.places);
        let text = format!("{:0>width$}", self.digits, width = places + 1);
        let (whole, part) = text.split_at(text.len() - places);
        if part.is_empty() { f.write_str(whole) } else { write!(f, "{whole}.{part}") }
    }
}

/// A whole number where it is one, else text.
impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.places == 0 { s.serialize_i64(self.digits) } else { s.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(RateText)
    }
}

struct RateText;

impl serde::de::Visitor<'_> for RateText {
    type Value = Rate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a price that is not negative: a whole number of minor units, or a decimal in quotes such as \"0.35\"",
        )
    }

    fn visit_i64<E: serde::de::Error>(self, minor: i64) -> Result<Rate, E> {
        if minor < 0 {
            return Err(E::invalid_value(serde::de::Unexpected::Signed(minor), &self));
        }
        Ok(Rate::whole(minor))
    }

    fn visit_u64<E: serde::de::Error>(self, minor: u64) -> Result<Rate, E> {
        i64::try_from(minor)
            .map(Rate::whole)
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(minor), &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Rate, E> {
        Rate::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

/// An exact amount in minor units before it is rounded. 0 ≤ it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    numerator: i128,
    denominator: i128,
}

impl Ratio {
    /// Nothing.
    pub const ZERO: Ratio = Ratio { numerator: 0, denominator: 1 };

    /// Divided by `by`, 1 or more; `None` where it does not fit.
    pub fn over(self, by: u64) -> Option<Ratio> {
        Some(Ratio { denominator: self.denominator.checked_mul(i128::from(by.max(1)))?, ..self })
    }

    /// The sum; `None` where it does not fit.
    pub fn plus(self, other: Ratio) -> Option<Ratio> {
        if self.denominator == other.denominator {
            return Some(Ratio { numerator: self.numerator.checked_add(other.numerator)?, ..self });
        }
        let (a, b) = (self.reduced(), other.reduced());
        let common = a.denominator / greatest_common_divisor(a.denominator, b.denominator) * b.denominator;
        let scaled = |r: Ratio| r.numerator.checked_mul(common / r.denominator);
        Some(Ratio { numerator: scaled(a)?.checked_add(scaled(b)?)?, denominator: common })
    }

    /// Rounded by the one rounding rule; `None` where it is not far inside 64 bits.
    pub fn rounded(self) -> Option<i64> {
        if self.denominator == 1 {
            return i64::try_from(self.numerator).ok().filter(|minor| *minor < i64::MAX / 2);
        }
        let fits = self.numerator / self.denominator < i128::from(i64::MAX / 2) && self.numerator < i128::MAX / 4;
        fits.then(|| round_half_away(self.numerator, self.denominator))
    }

    fn reduced(self) -> Ratio {
        let by = greatest_common_divisor(self.numerator, self.denominator).max(1);
        Ratio { numerator: self.numerator / by, denominator: self.denominator / by }
    }
}

fn greatest_common_divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The rounding rule of every price, proration and tax: half away from zero.
///
/// `numerator / denominator`, `denominator` > 0.
pub fn round_half_away(numerator: i128, denominator: i128) -> i64 {
    assert!(denominator > 0, "a ratio needs a positive denominator");
    let half = denominator / 2;
    let magnitude = (numerator.abs() + half) / denominator;
    let signed = if numerator < 0 { -magnitude } else { magnitude };
    i64::try_from(signed).expect("amounts stay inside 64 bits")
}

/// Splits `total` in proportion to `weights` so that the parts sum to it
/// exactly: largest remainder, ties to the earlier weight. All-zero weights
/// put everything on the first part; no weights give no parts.
pub fn split_by_weight(total: i64, weights: &[u64]) -> Vec<i64> {
    let sum: i128 = weights.iter().map(|w| i128::from(*w)).sum();
    if weights.is_empty() {
        return Vec::new();
    }
    if sum == 0 {
        let mut parts = vec![0; weights.len()];
        parts[0] = total;
        return parts;
    }
    let magnitude = i128::from(total).abs();
    let sign: i64 = if total < 0 { -1 } else { 1 };
    let mut parts: Vec<i64> = Vec::with_capacity(weights.len());
    let mut remainders: Vec<(i128, usize)> = Vec::with_capacity(weights.len());
    for (i, w) in weights.iter().enumerate() {
        let product = magnitude * i128::from(*w);
        parts.push(i64::try_from(product / sum).expect("a part is no larger than the total"));
        remainders.push((product % sum, i));
    }
    let given: i128 = parts.iter().map(|p| i128::from(*p)).sum();
    remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let left = usize::try_from(magnitude - given).expect("fewer left over than parts");
    for (_, i) in remainders.into_iter().take(left) {
        parts[i] += 1;
    }
    parts.iter().map(|p| p * sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_print_with_their_own_minor_unit() {
        let cases = [
            (Money::new(12_000, Currency::KRW), "12000", "12,000 KRW"),
            (Money::new(-5, Currency::JPY), "-5", "-5 JPY"),
            (Money::new(5, Currency::USD), "0.05", "0.05 USD"),
            (Money::new(-123_456, Currency::USD), "-1234.56", "-1,234.56 USD"),
            (Money::new(1_234_567, Currency::KWD), "1234.567", "1,234.567 KWD"),
        ];
        for (money, decimal, shown) in cases {
            assert_eq!(money.decimal(), decimal);
            assert_eq!(money.to_string(), shown);
        }
    }

    #[test]
    fn digits_and_exponent_become_minor_units_exactly_or_not_at_all() {
        for (currency, digits, exponent, minor) in [
            (Currency::KRW, 1200, 0, Some(1200)),
            (Currency::KRW, 12, 2, Some(1200)),
            (Currency::KRW, 12_345, -1, None),
            (Currency::KRW, 12_340, -1, Some(1234)),
            (Currency::USD, 1, 0, Some(100)),
            (Currency::USD, 5, -2, Some(5)),
            (Currency::USD, 5, -3, None),
            (Currency::KWD, -5, -3, Some(-5)),
            (Currency::KRW, i64::MAX, 1, None),
            (Currency::KRW, 1, i32::MAX, None),
            (Currency::KRW, 0, i32::MIN, Some(0)),
        ] {
            assert_eq!(currency.minor_of(digits, exponent), minor, "{digits} e{exponent} {currency:?}");
        }
    }

    #[test]
    fn a_rate_is_an_exact_decimal_or_nothing() {
        for (text, shown) in [("11", "11"), ("0.35", "0.35"), ("007.50", "7.50"), ("0.000000001", "0.000000001")] {
            assert_eq!(Rate::parse(text).unwrap().to_string(), shown);
        }
        for bad in ["", ".5", "5.", "-1", "1e3", "1,5", "0.0000000001", "1.2.3", "99999999999999999999"] {
            assert_eq!(Rate::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ratios_add_exactly_and_round_once() {
        let third = Rate::whole(1).times(1).over(3).unwrap();
        let sixth = Rate::parse("0.5").unwrap().times(1).over(3).unwrap();
        assert_eq!(third.plus(sixth).unwrap().rounded(), Some(1), "1/3 + 1/6 is a half");
        assert_eq!(third.rounded(), Some(0));
        assert_eq!(Rate::whole(i64::MAX).times(u64::MAX).rounded(), None);
    }

    #[test]
    fn halves_round_away_from_zero() {
        for (n, d, want) in [(5, 10, 1), (-5, 10, -1), (4, 10, 0), (14, 10, 1), (15, 10, 2), (0, 3, 0)] {
            assert_eq!(round_half_away(n, d), want, "{n}/{d}");
        }
    }

    #[test]
    fn parts_sum_to_the_whole() {
        assert_eq!(split_by_weight(100, &[1, 1, 1]), vec![34, 33, 33]);
        assert_eq!(split_by_weight(-100, &[1, 1, 1]), vec![-34, -33, -33]);
        assert_eq!(split_by_weight(7, &[0, 0]), vec![7, 0]);
        assert_eq!(split_by_weight(10, &[3, 0, 7]), vec![3, 0, 7]);
        assert!(split_by_weight(5, &[]).is_empty());
    }
}
