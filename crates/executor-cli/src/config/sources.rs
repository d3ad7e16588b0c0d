//! The sources of events in a configuration.

use std::path::{Path, PathBuf};

use command_executor::redact::Redactor;
use serde::Deserialize;
use toml::Spanned;

use crate::config::problems::Mistake;
use crate::config::surroundings::{Directory, Environment, FilePath, NOT_FOR_PROGRAMS};
use crate::config::words::{Run, Word};
use crate::input::events::{At, Filled, IdAt, OneOrMore, OriginAt, Shape, Topic, When};
use crate::input::source::{Input, Program};

/// A source of events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceConfig {
    pub(crate) name: Spanned<Word>,
    /// A file, a named pipe, or `-` for standard input.
    path: Option<Spanned<FilePath>>,
    /// Whether a file is followed over rotation; else it is read once, to its end. Default true.
    follow: Option<Spanned<bool>>,
    /// Where a Unix socket is made.
    socket: Option<Spanned<FilePath>>,
    /// A program whose output is read.
    run: Option<Spanned<Run>>,
    #[serde(default)]
    env: Environment,
    cwd: Option<Spanned<Directory>>,
    /// The form of its lines. Default JSON.
    format: Option<Form>,
    topic: Option<Spanned<OneOrMore<String>>>,
    separator: Option<Spanned<Filled>>,
    topic_default: Option<Spanned<Filled>>,
    id: Option<Spanned<IdAt>>,
    origin: Option<Spanned<OriginAt>>,
    time: Option<Spanned<At>>,
    when: Option<Spanned<When>>,
}

/// The form of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Form {
    #[default]
    Json,
    Text,
}

impl TryFrom<String> for Form {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(format!(
                "`{word}` is not a form of lines: write json or text"
            )),
        }
    }
}

/// A source, ready to be read.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) input: Input,
    pub(crate) shape: Shape,
}

impl SourceConfig {
    /// Returns what it is, or what is wrong with it.
    pub(super) fn source(&self, redactor: &Redactor) -> Result<Source, Mistake> {
        Ok(Source {
            name: self.name.get_ref().0.clone(),
            input: self.input(redactor)?,
            shape: self.shape()?,
        })
    }

    fn input(&self, redactor: &Redactor) -> Result<Input, Mistake> {
        let wrong = |what: &str| Err((self.name.span(), what.to_owned()));
        let input = match (&self.path, &self.socket, &self.run) {
            (Some(path), None, None) => self.file(&path.get_ref().0),
            (None, Some(path), None) => Input::Socket(path.get_ref().0.clone()),
            (None, None, Some(run)) => return self.program(run, redactor),
            (None, None, None) => {
                return wrong("this source has nothing to read: add `path`, `socket` or `run`");
            }
            _ => {
                return wrong(
                    "this source has more than one of `path`, `socket` and `run`: keep one",
                );
            }
        };
        self.refuse_surroundings()?;
        match (&self.follow, &input) {
            (None, _) | (_, Input::File(_) | Input::Followed(_)) => Ok(input),
            (Some(follow), _) => Err((follow.span(), "`follow` is for a file".into())),
        }
    }

    /// What has no program has no variables and no directory for one.
    fn refuse_surroundings(&self) -> Result<(), Mistake> {
        if !self.env.0.is_empty() {
            let what = "`env` is for a source with `run`";
            return Err((self.name.span(), what.into()));
        }
        match &self.cwd {
            Some(cwd) => Err((cwd.span(), "`cwd` is for a source with `run`".into())),
            None => Ok(()),
        }
    }

    fn file(&self, path: &Path) -> Input {
        let follows = self.follow.as_ref().is_none_or(|follow| *follow.get_ref());
        match (Input::to_the_end(path), follows) {
            (Input::File(path), true) => Input::Followed(path),
            (input, _) => input,
        }
    }

    fn program(&self, run: &Spanned<Run>, redactor: &Redactor) -> Result<Input, Mistake> {
        let Run::Program(argv) = run.get_ref() else {
            let what = "a built-in program says nothing: write [\"program\", \"argument\"]";
            return Err((run.span(), what.into()));
        };
        if let Some(follow) = &self.follow {
            return Err((follow.span(), "`follow` is for a file".into()));
        }
        Ok(Input::Program(Program {
            source: self.name.get_ref().0.clone(),
            argv: argv.clone(),
            without: &NOT_FOR_PROGRAMS,
            variables: self.env.0.clone(),
            redactor: redactor.clone(),
            directory: self.cwd.as_ref().map(|cwd| cwd.get_ref().0.clone()),
        }))
    }

    fn shape(&self) -> Result<Shape, Mistake> {
        let is_text = self.format == Some(Form::Text);
        let topic = match is_text {
            true => Some(self.fixed_topic()?),
            false => self.topic_at()?,
        };
        let of = Shape::default();
        Ok(Shape {
            topic: topic.unwrap_or(of.topic),
            separator: self.separator.as_ref().map(|it| it.get_ref().clone()),
            topic_default: self.topic_default.as_ref().map(|it| it.get_ref().clone()),
            id: self.id.as_ref().map_or(of.id, |it| it.get_ref().clone()),
            origin: self
                .origin
                .as_ref()
                .map_or(of.origin, |it| it.get_ref().clone()),
            time: self.time.as_ref().map(|it| it.get_ref().clone()),
            when: self
                .when
                .as_ref()
                .map_or(of.when, |it| it.get_ref().clone()),
            is_text,
        })
    }

    fn topic_at(&self) -> Result<Option<Topic>, Mistake> {
        let topic = self.topic.as_ref().map(|topic| {
            let parts = topic.get_ref().clone();
            Topic::try_from(parts).map_err(|what| (topic.span(), what))
        });
        topic.transpose()
    }

    /// Lines of text have no places that a pointer could lead to.
    fn fixed_topic(&self) -> Result<Topic, Mistake> {
        let needs_json = [
            self.id.as_ref().map(Spanned::span),
            self.origin.as_ref().map(Spanned::span),
            self.time.as_ref().map(Spanned::span),
            self.when.as_ref().map(Spanned::span),
            self.separator.as_ref().map(Spanned::span),
            self.topic_default.as_ref().map(Spanned::span),
        ];
        if let Some(span) = needs_json.into_iter().flatten().next() {
            let what = "lines of text have no such place: leave this out";
            return Err((span, what.into()));
        }
        let Some(topic) = &self.topic else {
            let what = "lines of text need a topic: write it, such as topic = \"door.opened\"";
            return Err((self.name.span(), what.into()));
        };
        let fixed = Topic::fixed(topic.get_ref().clone());
        fixed.ok_or_else(|| {
            let what =
                "lines of text have no such place: write the topic itself, such as \"door.opened\"";
            (topic.span(), what.into())
        })
    }

    /// Its path, with the place of that in the file.
    pub(super) fn path(&self) -> Option<&Spanned<FilePath>> {
        self.path.as_ref().or(self.socket.as_ref())
    }

    /// The paths in it, and its program with the directory that it runs in.
    pub(super) fn paths(
        &mut self,
    ) -> (impl Iterator<Item = &mut PathBuf>, Option<(&mut Run, bool)>) {
        let has_directory = self.cwd.is_some();
        let files = [&mut self.path, &mut self.socket];
        let files = files.into_iter().flatten().map(|it| &mut it.get_mut().0);
        let directory = self.cwd.iter_mut().map(|it| &mut it.get_mut().0);
        let paths = files.chain(directory);
        // Standard input is not a file.
        let paths = paths.filter(|path| path.as_os_str() != "-");
        (
            paths,
            self.run.as_mut().map(|run| (run.get_mut(), has_directory)),
        )
    }
}
