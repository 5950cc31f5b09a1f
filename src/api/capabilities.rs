//! Sets of APIs and of capabilities: what a request needs, and what a model or backend offers.

/// A set of things that a model can do, or that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Capabilities(u16);

impl Capabilities {
    /// Nothing in particular.
    pub const NONE: Capabilities = Capabilities(0);
    /// Calls tools.
    pub const TOOLS: Capabilities = Capabilities(1);
    /// Reads images.
    pub const VISION: Capabilities = Capabilities(1 << 1);
    /// Hears audio.
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

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }

    /// What is in `self` but not in `other`.
    #[must_use]
    pub const fn without(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & !other.0)
    }

    /// Whether all of `other` is in `self`.
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
            .map(|(_, one)| *one)
    }

    /// The names of the set's members, in the order of [`Capabilities::NAMES`].
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .iter()
            .filter(move |(_, one)| self.contains(*one))
            .map(|(name, _)| *name)
    }
}

/// A set of APIs that a backend speaks, or the one that a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Apis(u8);

impl Apis {
    /// None.
    pub const NONE: Apis = Apis(0);
    /// OpenAI's Chat Completions.
    pub const OPENAI_CHAT: Apis = Apis(1);
    /// OpenAI's Responses.
    pub const OPENAI_RESPONSES: Apis = Apis(1 << 1);
    /// OpenAI's Completions.
    pub const OPENAI_COMPLETIONS: Apis = Apis(1 << 2);
    /// OpenAI's Embeddings.
    pub const OPENAI_EMBEDDINGS: Apis = Apis(1 << 3);
    /// Anthropic's Messages.
    pub const ANTHROPIC_MESSAGES: Apis = Apis(1 << 4);

    /// Every API with the name that policies use for it.
    pub const NAMES: [(&'static str, Apis); 5] = [
        ("openai_chat", Apis::OPENAI_CHAT),
        ("openai_responses", Apis::OPENAI_RESPONSES),
        ("openai_completions", Apis::OPENAI_COMPLETIONS),
        ("openai_embeddings", Apis::OPENAI_EMBEDDINGS),
        ("anthropic_messages", Apis::ANTHROPIC_MESSAGES),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Apis) -> Apis {
        Apis(self.0 | other.0)
    }

    /// Whether all of `other` is in `self`.
    pub const fn contains(self, other: Apis) -> bool {
        self.0 & other.0 == other.0
    }

    /// The API with this name.
    pub fn find(name: &str) -> Option<Apis> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, one)| *one)
    }

    /// The name of the one API in the set; of several the first.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, one)| self.contains(*one))
            .map_or("none", |(name, _)| *name)
    }
}
