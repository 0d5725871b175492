//! How bugs are listed: each is said once.

/// An enum of bugs, each with its name in reports and its story.
macro_rules! catalogue {
    ($catalogue:ident { $($bug:ident $name:literal $story:literal;)* }) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $catalogue {
            $(#[doc = $story] $bug,)*
        }

        impl $catalogue {
            /// Every bug.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$bug),*];

            /// Its name in reports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$bug => $name,)* }
            }

            /// What somebody did wrong.
            #[must_use]
            pub const fn story(self) -> &'static str {
                match self { $(Self::$bug => $story,)* }
            }
        }
    };
}

pub(crate) use catalogue;
