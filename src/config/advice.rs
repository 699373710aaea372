//! What `check` advises against, each with the word by which a config acknowledges it.

/// Something legal but unwise about a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// `[defaults]` share everything with everyone.
    AllShared,
    /// What the app marks as one person's goes to everyone.
    PrivateShared,
    /// A path with parameters, and one key for all of it.
    OneAnswer,
    /// A lifetime of more than a day.
    LongLife,
    /// A lifetime of more than an hour, and no write that purges it.
    NeverPurged,
    /// Bodies that the room for bodies in flight never lets be stored.
    LargeBody,
    /// A purge of what no route stores.
    IdlePurge,
}

impl Advice {
    /// All of it, beside [`Advice::WORDS`].
    pub const ALL: [Advice; 7] = [
        Advice::AllShared,
        Advice::PrivateShared,
        Advice::OneAnswer,
        Advice::LongLife,
        Advice::NeverPurged,
        Advice::LargeBody,
        Advice::IdlePurge,
    ];

    /// The words, in the order of [`Advice::ALL`].
    pub const WORDS: &[&str] = &[
        "all-shared",
        "private-shared",
        "one-answer",
        "long-life",
        "never-purged",
        "large-body",
        "idle-purge",
    ];

    /// The word that `check` shows, and `acknowledge` takes.
    pub fn as_str(self) -> &'static str {
        Advice::WORDS[self as usize]
    }

    /// What a word stands for.
    pub fn parse(word: &str) -> Option<Advice> {
        let mut all = Advice::ALL.into_iter();
        all.find(|advice| advice.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_word() {
        assert_eq!(Advice::ALL.len(), Advice::WORDS.len());
        for (advice, word) in Advice::ALL.into_iter().zip(Advice::WORDS) {
            assert_eq!(advice.as_str(), *word);
            assert_eq!(Advice::parse(word), Some(advice));
        }
    }
}
