//! A share of the hits, as `audit` has it.

/// So many of 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate(u32);

impl Rate {
    /// None of them.
    pub const NONE: Rate = Rate(0);

    /// Of `0.1%`; the error says what to write instead.
    pub fn parse(text: &str) -> Result<Rate, &'static str> {
        const REMEDY: &str = "write a percentage from 0% to 100%, such as \"0.1%\"";
        let number = text.trim().strip_suffix('%').ok_or(REMEDY)?;
        let is_plain = number
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        let percent: f64 = number.parse().map_err(|_| REMEDY)?;
        if !is_plain || !(0.0..=100.0).contains(&percent) {
            return Err(REMEDY);
        }
        let share = percent / 100.0 * f64::from(u32::MAX);
        // However small it is, it is not nothing.
        Ok(Rate(if percent > 0.0 {
            share.max(1.0) as u32
        } else {
            0
        }))
    }

    /// Whether it takes one for which `drawn` was drawn, out of all numbers alike.
    pub fn takes(self, drawn: u32) -> bool {
        drawn <= self.0 && self.0 > 0
    }

    /// In the file's spelling.
    pub fn show(self) -> String {
        let percent = f64::from(self.0) * 100.0 / f64::from(u32::MAX);
        // To a ten thousandth.
        format!("{}%", (percent * 1e4).round() / 1e4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (text, shown) in [
            ("0.1%", "0.1%"),
            ("100%", "100%"),
            ("0%", "0%"),
            (" 2.5% ", "2.5%"),
            ("0.0001%", "0.0001%"),
        ] {
            assert_eq!(
                Rate::parse(text).map(Rate::show).as_deref(),
                Ok(shown),
                "{text}"
            );
        }
        for text in ["", "1", "%", "-1%", "101%", "1e1%", "inf%", "a%", "1 %"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        let all = Rate::parse("100%").unwrap();
        assert!(all.takes(0) && all.takes(u32::MAX));
        let none = Rate::parse("0%").unwrap();
        assert!(!none.takes(0) && none == Rate::NONE);
        let half = Rate::parse("50%").unwrap();
        let taken = (0..1000u32).filter(|n| half.takes(n * 4_294_967)).count();
        assert!((499..=501).contains(&taken), "{taken}");
    }
}
