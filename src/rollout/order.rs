//! The body of `POST /switch`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::mode::Mode;
use super::switches::{Subject, Switch};

/// The longest reason.
const MAX_REASON: usize = 200;

/// The word for what the file says.
const FILE: &str = "file";

/// What is to be switched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Order {
    /// The most that any rule is: off, shadow, on; `file` is as on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub everything: Option<String>,
    /// The rule; `-`: what no rule matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// off, shadow, on; `file`: what the file says holds again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The share of the rule's keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u64>,
    /// For how long, such as `30m`; then the file holds again.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasting: Option<String>,
    /// Why; it is logged and listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why an order cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Neither subject, or both.
    #[error(
        "say what: {{\"everything\": \"off\"}}, or {{\"rule\": NAME, \"mode\": \"off\"}} with \"percent\" beside or in \
         place of the mode"
    )]
    Subject,
    /// A rule, and nothing about it.
    #[error(
        "say what the rule is to be: \"mode\": \"off\", \"shadow\", \"on\" or \"file\", or \"percent\": 10"
    )]
    Nothing,
    /// Beside `everything`.
    #[error("\"{0}\" is of a rule: write \"rule\" beside it")]
    OfRule(&'static str),
    /// No mode.
    #[error("\"{0}\" is no mode: write off, shadow, on or file")]
    Mode(String),
    /// Not from 1 to 100.
    #[error("\"percent\" is from 1 to 100; for none of the keys write \"mode\": \"off\"")]
    Percent,
    /// A share of what the file says.
    #[error("\"mode\": \"file\" takes back the share as well: leave \"percent\" out")]
    PercentOfFile,
    /// No time.
    #[error("\"for\": {0}")]
    Lasting(String),
    /// What the file says holds for ever.
    #[error("\"for\" has no use here: what the file says holds until the next switch")]
    LastingFile,
    /// Left out, and switched until later than this ends, or for good.
    #[error(
        "\"for\" would end what \"{0}\" was switched to as well, which was to hold for longer: say \"{0}\" beside it"
    )]
    EndsMore(&'static str),
    /// Too long.
    #[error("\"reason\" is over {MAX_REASON} bytes")]
    Reason,
}

impl Order {
    /// What it switches and how, if it is thrown at `now` (milliseconds of fleet time) on top of `held`. `parse_lasting`
    /// reads a time in the config's spelling.
    pub fn to_switch<'h>(
        &self,
        now: u64,
        held: impl FnOnce(&Subject) -> Option<&'h Switch>,
        parse_lasting: impl FnOnce(&str) -> Result<Duration, String>,
    ) -> Result<(Subject, Switch), OrderError> {
        let subject = self.subject()?;
        let held = held(&subject);
        let in_force = held.filter(|held| held.is_in_force(now));
        let (mode, percent) = self.setting(&subject, in_force)?;
        let says_nothing = mode.is_none() && percent.is_none();
        let until = match &self.lasting {
            Some(_) if says_nothing => return Err(OrderError::LastingFile),
            Some(text) => {
                let lasting = parse_lasting(text).map_err(OrderError::Lasting)?;
                Some(now.saturating_add(lasting.as_millis() as u64))
            }
            None => None,
        };
        if let (Some(until), Some(held)) = (until, in_force)
            && subject != Subject::Everything
            && held.until.is_none_or(|held| held > until)
        {
            // One end is kept for both.
            let left_out = [
                ("mode", self.mode.is_none() && held.mode.is_some()),
                ("percent", self.percent.is_none() && held.percent.is_some()),
            ];
            if let Some((name, _)) = left_out.into_iter().find(|(_, is_left_out)| *is_left_out) {
                return Err(OrderError::EndsMore(name));
            }
        }
        let reason = self.reason.clone().unwrap_or_default();
        if reason.len() > MAX_REASON {
            return Err(OrderError::Reason);
        }
        let at = held.map_or(now, |held| now.max(held.at.saturating_add(1)));
        let switch = Switch {
            at,
            mode,
            percent,
            until,
            reason,
        };
        Ok((subject, switch))
    }

    fn subject(&self) -> Result<Subject, OrderError> {
        match (&self.everything, &self.rule) {
            (Some(_), None) if self.mode.is_some() => Err(OrderError::OfRule("mode")),
            (Some(_), None) if self.percent.is_some() => Err(OrderError::OfRule("percent")),
            (Some(_), None) => Ok(Subject::Everything),
            (None, Some(rule)) => Ok(Subject::Rule(rule.clone())),
            _ => Err(OrderError::Subject),
        }
    }

    /// What it leaves out stays as it was switched before.
    fn setting(
        &self,
        subject: &Subject,
        held: Option<&Switch>,
    ) -> Result<(Option<Mode>, Option<u8>), OrderError> {
        let word = self.everything.as_ref().or(self.mode.as_ref());
        if word.is_some_and(|word| word == FILE) {
            return match self.percent {
                Some(_) => Err(OrderError::PercentOfFile),
                None => Ok((None, None)),
            };
        }
        let mode = word
            .map(|word| Mode::parse(word).ok_or_else(|| OrderError::Mode(word.clone())))
            .transpose()?;
        if *subject == Subject::Everything {
            // The most there is: as no switch at all.
            return Ok((mode.filter(|mode| *mode != Mode::On), None));
        }
        let percent = match self.percent {
            Some(percent @ 1..=100) => Some(percent as u8),
            Some(_) => return Err(OrderError::Percent),
            None => None,
        };
        if mode.is_none() && percent.is_none() {
            return Err(OrderError::Nothing);
        }
        let before = held.map_or((None, None), |held| (held.mode, held.percent));
        Ok((mode.or(before.0), percent.or(before.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thrown(body: &str, held: Option<Switch>) -> Result<(Subject, Switch), String> {
        let order: Order = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let parse = |text: &str| match text {
            "30m" => Ok(Duration::from_secs(1800)),
            _ => Err(format!("\"{text}\" is no time")),
        };
        let switch = order.to_switch(1000, |_| held.as_ref(), parse);
        switch.map_err(|error| error.to_string())
    }

    #[test]
    fn orders() {
        let board = || Subject::Rule("board".to_owned());
        let switch = |mode, percent| Switch {
            at: 1000,
            mode,
            percent,
            ..Switch::default()
        };
        #[rustfmt::skip]
        let rows = [
            (r#"{"everything":"off"}"#, Subject::Everything, switch(Some(Mode::Off), None)),
            (r#"{"everything":"on"}"#, Subject::Everything, switch(None, None)),
            (r#"{"everything":"file"}"#, Subject::Everything, switch(None, None)),
            (r#"{"rule":"board","mode":"shadow"}"#, board(), switch(Some(Mode::Shadow), None)),
            (r#"{"rule":"board","percent":10}"#, board(), switch(None, Some(10))),
            (r#"{"rule":"board","mode":"on","percent":10}"#, board(), switch(Some(Mode::On), Some(10))),
            (r#"{"rule":"board","mode":"file"}"#, board(), switch(None, None)),
            (
                r#"{"rule":"board","mode":"off","for":"30m","reason":"stale boards"}"#,
                board(),
                Switch { until: Some(1_801_000), reason: "stale boards".to_owned(), ..switch(Some(Mode::Off), None) },
            ),
        ];
        for (body, subject, switch) in rows {
            assert_eq!(thrown(body, None), Ok((subject, switch)), "{body}");
        }
    }

    #[test]
    fn what_is_left_out_stays_as_it_was_switched() {
        let held = Switch {
            at: 5000,
            mode: Some(Mode::Shadow),
            ..Switch::default()
        };
        let (_, switch) = thrown(r#"{"rule":"a","percent":10}"#, Some(held.clone())).unwrap();
        assert_eq!(
            (switch.mode, switch.percent),
            (Some(Mode::Shadow), Some(10))
        );
        assert_eq!(
            switch.at, 5001,
            "later than what it follows, whatever the clock says"
        );
        let over = Switch {
            until: Some(1000),
            ..held.clone()
        };
        let (_, switch) = thrown(r#"{"rule":"a","percent":10}"#, Some(over)).unwrap();
        assert_eq!((switch.mode, switch.percent), (None, Some(10)));
        let at_the_end = Switch {
            at: u64::MAX,
            ..held
        };
        assert!(thrown(r#"{"rule":"a","percent":10}"#, Some(at_the_end)).is_ok());
    }

    /// A switch has one end: what was to hold for longer would be over with it, and the file would hold again.
    #[test]
    fn an_end_is_not_given_to_what_was_to_hold_for_longer() {
        let of = |mode, percent, until| Switch {
            mode,
            percent,
            until,
            ..Switch::default()
        };
        let off = |until| of(Some(Mode::Off), None, until);
        let share = |until| of(None, Some(5), until);
        // Half an hour from 1,000 on is over at 1,801,000.
        #[rustfmt::skip]
        let rows = [
            (off(None), r#"{"rule":"a","percent":10,"for":"30m"}"#, Some("mode")),
            (off(Some(1_801_001)), r#"{"rule":"a","percent":10,"for":"30m"}"#, Some("mode")),
            (off(Some(1_801_000)), r#"{"rule":"a","percent":10,"for":"30m"}"#, None),
            (off(Some(900)), r#"{"rule":"a","percent":10,"for":"30m"}"#, None),
            (off(None), r#"{"rule":"a","mode":"off","percent":10,"for":"30m"}"#, None),
            (off(None), r#"{"rule":"a","mode":"shadow","for":"30m"}"#, None),
            (share(None), r#"{"rule":"a","mode":"off","for":"30m"}"#, Some("percent")),
            (off(None), r#"{"rule":"a","percent":10}"#, None),
            (off(None), r#"{"everything":"shadow","for":"30m"}"#, None),
        ];
        for (held, body, expected) in rows {
            let error = thrown(body, Some(held)).err();
            assert_eq!(error.is_some(), expected.is_some(), "{body}: {error:?}");
            if let (Some(error), Some(name)) = (error, expected) {
                assert!(
                    error.contains(&format!("say \"{name}\" beside it")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn orders_that_are_none() {
        let long = format!(r#"{{"everything":"off","reason":"{}"}}"#, "x".repeat(201));
        #[rustfmt::skip]
        let rows = [
            ("{}", "say what"),
            (r#"{"everything":"off","rule":"a"}"#, "say what"),
            (r#"{"rule":"a"}"#, "say what the rule is to be"),
            (r#"{"everything":"off","mode":"off"}"#, "\"mode\" is of a rule"),
            (r#"{"everything":"off","percent":5}"#, "\"percent\" is of a rule"),
            (r#"{"everything":"out"}"#, "\"out\" is no mode"),
            (r#"{"rule":"a","mode":"Off"}"#, "\"Off\" is no mode"),
            (r#"{"rule":"a","percent":0}"#, "from 1 to 100"),
            (r#"{"rule":"a","percent":101}"#, "from 1 to 100"),
            (r#"{"rule":"a","mode":"file","percent":5}"#, "leave \"percent\" out"),
            (r#"{"rule":"a","mode":"off","for":"soon"}"#, "\"for\": \"soon\" is no time"),
            (r#"{"rule":"a","mode":"file","for":"30m"}"#, "no use"),
            (r#"{"everything":"off","since":1}"#, "unknown field `since`"),
            (long.as_str(), "over 200 bytes"),
        ];
        for (body, expected) in rows {
            let error = thrown(body, None).unwrap_err();
            assert!(error.contains(expected), "{body}: {error}");
        }
    }
}
