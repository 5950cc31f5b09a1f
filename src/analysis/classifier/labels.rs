//! The classes that the model tells apart. `models/manifest.json` lists the same names in the same order; build.rs enforces it.

macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them, in the order of the model's output.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The name that policies, metrics and headers use.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }

            /// The label with this name.
            pub fn find(name: &str) -> Option<$name> {
                Self::ALL.iter().copied().find(|label| label.name() == name)
            }
        }
    };
}

labels! {
    /// The kind of work that a prompt asks for.
    Task {
        /// Small talk, greetings, short commands to an assistant.
        Chat = "chat",
        /// Questions of fact.
        KnowledgeQa = "knowledge_qa",
        /// Calculation, word problems, proofs.
        Math = "math",
        /// Puzzles, logic, planning, multi-step inference.
        Reasoning = "reasoning",
        /// Writing, reading or mending program code.
        Code = "code",
        /// Stories, poems, slogans, role play.
        CreativeWriting = "creative_writing",
        /// Making a given text shorter.
        Summarization = "summarization",
        /// From one language into another.
        Translation = "translation",
        /// Rewriting a given text: tone, grammar, format.
        Rewriting = "rewriting",
        /// Taking facts out of a given text.
        Extraction = "extraction",
        /// Putting a given text into one of some classes.
        Classification = "classification",
    }
}

labels! {
    /// The subject of a prompt.
    Domain {
        /// Nothing in particular.
        General = "general",
        /// Health, medicine, psychology in practice.
        Medical = "medical",
        /// Law and contracts.
        Legal = "legal",
        /// Money, business, economics.
        Finance = "finance",
        /// Physics, chemistry, biology, engineering.
        Science = "science",
        /// Software and computers.
        Technology = "technology",
        /// Mathematics.
        Mathematics = "mathematics",
        /// History, philosophy, literature, art, politics, society.
        Humanities = "humanities",
    }
}
