//! Capabilities: what a request needs, and what a model offers.

/// A set of capabilities.
///
/// ```
/// use pointsman::api::Capabilities;
///
/// let offered = Capabilities::TOOLS.union(Capabilities::VISION);
/// let missing = Capabilities::VISION.union(Capabilities::AUDIO).without(offered);
/// assert_eq!(missing.names().collect::<Vec<_>>(), ["audio"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Capabilities(u16);

impl Capabilities {
    /// The empty set.
    pub const NONE: Capabilities = Capabilities(0);
    /// Calls tools.
    pub const TOOLS: Capabilities = Capabilities(1);
    /// Reads images.
    pub const VISION: Capabilities = Capabilities(1 << 1);
    /// Understands audio.
    pub const AUDIO: Capabilities = Capabilities(1 << 2);
    /// Keeps to `response_format: json_object`.
    pub const JSON_MODE: Capabilities = Capabilities(1 << 3);
    /// Keeps to `response_format: json_schema`.
    pub const JSON_SCHEMA: Capabilities = Capabilities(1 << 4);
    /// Reasons before it answers, with a settable effort.
    pub const REASONING: Capabilities = Capabilities(1 << 5);
    /// Reads files such as PDF.
    pub const FILES: Capabilities = Capabilities(1 << 6);

    /// Every capability with the name that policies use for it.
    pub const NAMES: [(&'static str, Capabilities); 7] = [
        ("tools", Capabilities::TOOLS),
        ("vision", Capabilities::VISION),
        ("audio", Capabilities::AUDIO),
        ("json_mode", Capabilities::JSON_MODE),
        ("json_schema", Capabilities::JSON_SCHEMA),
        ("reasoning", Capabilities::REASONING),
        ("files", Capabilities::FILES),
    ];

    /// Every bit that means something.
    const ALL: u16 = (1 << Self::NAMES.len()) - 1;

    /// The set as bits, in the order of [`Capabilities::NAMES`].
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set with these bits; bits without a meaning are dropped.
    pub const fn from_bits(bits: u16) -> Capabilities {
        Capabilities(bits & Capabilities::ALL)
    }

    /// The union of both sets.
    #[must_use]
    pub const fn union(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }

    /// The capabilities of `self` that `other` lacks.
    #[must_use]
    pub const fn without(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & !other.0)
    }

    /// Whether `self` has all of `other`.
    pub const fn contains(self, other: Capabilities) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The capability with this name.
    pub fn find(name: &str) -> Option<Capabilities> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, capability)| *capability)
    }

    /// The names of the set's members, in the order of [`Capabilities::NAMES`].
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .iter()
            .filter(move |(_, capability)| self.contains(*capability))
            .map(|(name, _)| *name)
    }
}
