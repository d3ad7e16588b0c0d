//! Relative paths in a configuration begin at its own directory, wherever the program is started.

use std::path::{self, Path, PathBuf};

use command_executor::SpoolPlace;

use crate::args::DEFAULT_DB;
use crate::config::surroundings::Directory;
use crate::config::{Config, Run, Url};
use crate::wire;

impl Config {
    /// Makes the paths independent of where the program was started.
    pub(super) fn resolve(&mut self, path: &Path) {
        // What comes through a pipe has no directory of its own.
        let of_file = path.is_file().then(|| path.parent()).flatten();
        let base = of_file.unwrap_or(Path::new(""));
        self.resolve_store(base);
        self.resolve_told_programs(base);
        self.resolve_sources(base);
        self.resolve_run_programs(base);
    }

    fn resolve_store(&mut self, base: &Path) {
        let url = self.store.url.get_or_insert(Url(DEFAULT_DB.to_owned()));
        if let Some(below) = wire::below(&url.0, base) {
            *url = Url(below);
        }
        if let Some(service) = &mut self.service
            && let SpoolPlace::At(at) = &mut service.get_mut().spool
        {
            *at = base.join(&at);
        }
    }

    /// The programs that are told of failures.
    fn resolve_told_programs(&mut self, base: &Path) {
        for run in self.notify.programs_mut() {
            resolve_program(run, base, false);
        }
        let on_error = self.listeners.iter_mut().map(|it| &mut it.on_error);
        let on_error = on_error.chain(self.jobs.iter_mut().map(|it| &mut it.on_error));
        for run in on_error.flatten() {
            resolve_program(run, base, false);
        }
    }

    fn resolve_sources(&mut self, base: &Path) {
        for source in &mut self.source_configs {
            let (paths, run) = source.paths();
            paths.for_each(|path| *path = base.join(&*path));
            if let Some((run, has_directory)) = run {
                resolve_program(run, base, has_directory);
            }
        }
    }

    /// The programs of listeners and jobs, with the directories that they run in.
    fn resolve_run_programs(&mut self, base: &Path) {
        let of_listeners = self.listeners.iter_mut();
        let of_listeners = of_listeners.map(|it| (&mut it.run, &mut it.cwd));
        let of_jobs = self.jobs.iter_mut().map(|it| (&mut it.run, &mut it.cwd));
        for (run, cwd) in of_listeners.chain(of_jobs) {
            resolve_program(run, base, cwd.is_some());
            if let Some(Directory(directory)) = cwd {
                *directory = base.join(&directory);
            }
        }
    }
}

/// A name without a slash is looked for on the PATH.
fn resolve_program(run: &mut Run, base: &Path, has_directory: bool) {
    let Run::Program(argv) = run else {
        return;
    };
    let program = PathBuf::from(&argv[0]);
    if !argv[0].contains('/') || program.is_absolute() {
        return;
    }
    let mut program = base.join(program);
    if has_directory {
        // Else it would be looked for in that directory.
        program = path::absolute(&program).unwrap_or(program);
    }
    // A base that is no text leaves the program as it is written.
    if let Some(text) = program.to_str() {
        argv[0] = text.to_owned();
    }
}
