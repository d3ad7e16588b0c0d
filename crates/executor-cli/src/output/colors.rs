//! Whether colours are wanted.

use std::sync::OnceLock;

/// When there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

static WHEN: OnceLock<ColorWhen> = OnceLock::new();

/// Sets it for the whole program, once.
pub(crate) fn set(when: ColorWhen) {
    let when = match when {
        ColorWhen::Auto if std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty()) => {
            ColorWhen::Never
        }
        when => when,
    };
    let _ = WHEN.set(when);
}

pub(crate) fn when() -> ColorWhen {
    WHEN.get().copied().unwrap_or_default()
}
