//! Reads a crontab as Debian's cron does, and turns it into jobs of a configuration.

use std::collections::{BTreeMap, HashSet};

use command_executor::Schedule;

/// What is written above the jobs.
const HEAD: &str = "\
# Imported from a crontab. What differs from cron:
# - A run that is due while the last one is still running is skipped. `overlap = \"parallel\"` is cron's way.
# - What programs print is kept with their executions (`executor logs`) and not mailed; see [notify] for being told.
# - What cron runs at a reboot, `@reboot`, runs at each start of executor.
# Check it with `executor check`, and remove the lines from the crontab before you run it.
";

/// Times, users and commands of a whole crontab.
#[derive(Default)]
pub(crate) struct Crontab {
    jobs: Vec<Job>,
    /// Remarks for the reader, above the job that follows.
    remarks: Vec<(usize, String)>,
    /// The number of a line from 1, and what is wrong with it.
    pub(crate) problems: Vec<(usize, String)>,
}

struct Job {
    line: String,
    name: String,
    /// The key and value of its schedule.
    schedule: (&'static str, String),
    time_zone: String,
    run: Vec<String>,
    variables: BTreeMap<String, String>,
    directory: Option<String>,
}

/// What the lines so far have set.
struct Setting {
    variables: BTreeMap<String, String>,
    shell: String,
    time_zone: String,
    directory: Option<String>,
}

impl Setting {
    fn at_the_beginning(home: Option<&str>) -> Self {
        Self {
            variables: BTreeMap::new(),
            shell: "/bin/sh".to_owned(),
            time_zone: "local".to_owned(),
            directory: home.map(str::to_owned),
        }
    }
}

impl Crontab {
    /// Reads a user's crontab, or one of the system, which has a user in each line. `home` is where its commands run.
    pub(crate) fn read(text: &str, is_of_system: bool, home: Option<&str>) -> Self {
        let mut read = Self::default();
        let mut setting = Setting::at_the_beginning(home);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match assignment(line) {
                Some((name, value)) => read.set(&mut setting, name, value),
                None => match job(line, is_of_system, &setting) {
                    Ok(job) => read.jobs.push(job),
                    Err(what) => read.problems.push((number + 1, what)),
                },
            }
        }
        read.tell_names_apart();
        read
    }

    fn set(&mut self, setting: &mut Setting, name: &str, value: String) {
        match name {
            "SHELL" => setting.shell = value,
            "CRON_TZ" => setting.time_zone = value,
            "HOME" => setting.directory = Some(value),
            "MAILTO" | "MAILFROM" => {
                let value: String = value.chars().filter(|c| !c.is_control()).collect();
                let remark = format!("{name}={value} in the crontab: see [notify]");
                self.remarks.push((self.jobs.len(), remark));
            }
            _ => drop(setting.variables.insert(name.to_owned(), value)),
        }
    }

    /// Two jobs of one app cannot have the same name.
    fn tell_names_apart(&mut self) {
        let mut known: HashSet<String> = HashSet::new();
        for job in &mut self.jobs {
            let base = job.name.clone();
            let mut count = 1;
            while !known.insert(job.name.clone()) {
                count += 1;
                job.name = format!("{base}-{count}");
            }
        }
    }

    pub(crate) const fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Returns the configuration.
    pub(crate) fn configuration(&self, app: &str) -> String {
        let mut text = HEAD.to_owned();
        for (number, job) in self.jobs.iter().enumerate() {
            text.push('\n');
            let remarks = self.remarks.iter().filter(|(at, _)| *at == number);
            remarks.for_each(|(_, remark)| text.push_str(&format!("# {remark}\n")));
            job.write(app, &mut text);
        }
        text
    }
}

impl Job {
    fn write(&self, app: &str, text: &mut String) {
        let (key, value) = &self.schedule;
        let mut put = |key: &str, value: String| text.push_str(&format!("{key} = {value}\n"));
        let line = self.line.chars();
        let line = line.map(|c| if c.is_control() { ' ' } else { c });
        put("# crontab", line.collect());
        put("[[job]]\napp", quoted(app));
        put("name", quoted(&self.name));
        put(key, quoted(value));
        if *key == "cron" {
            put("time_zone", quoted(&self.time_zone));
        }
        put("timeout", quoted("none"));
        let run: Vec<String> = self.run.iter().map(|word| quoted(word)).collect();
        put("run", format!("[{}]", run.join(", ")));
        if let Some(directory) = &self.directory {
            put("cwd", quoted(directory));
        }
        if !self.variables.is_empty() {
            put("env", self.env());
        }
    }

    /// Its variables as an inline table.
    fn env(&self) -> String {
        let variables = self.variables.iter();
        let variables =
            variables.map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)));
        let variables: Vec<String> = variables.collect();
        format!("{{ {} }}", variables.join(", "))
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A line such as `PATH = "/bin"`; the quotes are no part of the value.
fn assignment(line: &str) -> Option<(&str, String)> {
    let (name, value) = line.split_once('=')?;
    let unquoted = |text: &str| {
        let text = text.trim();
        let inner = ['"', '\''].into_iter().find_map(|quote| {
            let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
            Some(inner.to_owned())
        });
        inner.unwrap_or_else(|| text.to_owned())
    };
    let name = name.trim();
    let is_name = |name: &str| {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(is_of_name)
    };
    is_name(name).then(|| (name, unquoted(value)))
}

fn job(line: &str, is_of_system: bool, setting: &Setting) -> Result<Job, String> {
    let (times, rest) =
        times_of(line).ok_or("there is no command after the five fields of time")?;
    let (user, command) = match is_of_system {
        true => {
            let (user, command) = word_of(rest);
            (Some(user), command)
        }
        false => (None, rest),
    };
    if command.is_empty() {
        return Err("there is no command".into());
    }
    let schedule = schedule_of(times, &setting.time_zone)?;
    let (command, input) = input_of(command);
    Ok(Job {
        line: line.to_owned(),
        name: name_of(&command),
        schedule,
        time_zone: setting.time_zone.clone(),
        run: run_of(user, &setting.shell, with_input(command, input)),
        variables: setting.variables.clone(),
        directory: setting.directory.clone().filter(|_| user.is_none()),
    })
}

/// A command that reads what stands behind its first `%`.
fn with_input(command: String, input: Option<String>) -> String {
    match input {
        Some(input) => format!("printf '%s\\n' {} | {{ {command}\n}}", shell_quoted(&input)),
        None => command,
    }
}

/// The shell that runs a command, as another user if the line names one.
fn run_of(user: Option<&str>, shell: &str, command: String) -> Vec<String> {
    let mut run = vec![shell.to_owned(), "-c".to_owned(), command];
    if let Some(user) = user {
        let as_user = ["runuser", "-u", user, "--"].map(str::to_owned);
        run.splice(0..0, as_user);
    }
    run
}

/// The fields of time, or a nickname, and what follows.
fn times_of(line: &str) -> Option<(&str, &str)> {
    let fields = if line.starts_with('@') { 1 } else { 5 };
    let mut rest = line;
    for _ in 0..fields {
        let (word, after) = word_of(rest);
        if word.is_empty() {
            return None;
        }
        rest = after;
    }
    let times = line[..line.len() - rest.len()].trim();
    (!rest.is_empty()).then_some((times, rest))
}

fn word_of(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

fn schedule_of(times: &str, time_zone: &str) -> Result<(&'static str, String), String> {
    if times == "@reboot" {
        // Once, at each start of the program.
        return Ok(("after", "1s".to_owned()));
    }
    let cron = Schedule::cron(times, time_zone).map_err(|error| error.to_string())?;
    drop(cron);
    Ok(("cron", times.to_owned()))
}

/// What stands behind the first bare `%` is standard input, with a line for each further one; `\%` is a `%`.
fn input_of(command: &str) -> (String, Option<String>) {
    let (mut parts, mut rest) = (vec![String::new()], command.chars().peekable());
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.peek() == Some(&'%') => {
                rest.next();
                parts.last_mut().expect("never empty").push('%');
            }
            '%' => parts.push(String::new()),
            c => parts.last_mut().expect("never empty").push(c),
        }
    }
    let input = (parts.len() > 1).then(|| parts.split_off(1).join("\n"));
    (parts.remove(0).trim_end().to_owned(), input)
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Programs that run another one, whose name says more.
const WRAPPERS: [&str; 9] = [
    "sudo", "nice", "ionice", "env", "timeout", "flock", "chronic", "exec", "nohup",
];

/// Commands that only prepare for another one.
const PREPARATIONS: [&str; 5] = ["cd", "test", "[", "sleep", "."];

/// A name for a command: that of the first program in it that does something of its own.
fn name_of(command: &str) -> String {
    let mut commands = command.split([';', '|', '&', '(', ')']);
    let base = commands.find_map(program_of).unwrap_or("job");
    let kept = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let name: String = base.chars().filter(|c| kept(*c)).collect();
    let name = name.trim_end_matches(".sh").trim_matches('.');
    match name.is_empty() {
        true => "job".to_owned(),
        false => name.to_owned(),
    }
}

fn program_of(command: &str) -> Option<&str> {
    // Options and their numbers, variables, and where output goes.
    let is_aside = |word: &&str| {
        word.starts_with(['-', '<', '>', '$'])
            || word.contains('=')
            || word.starts_with(|c: char| c.is_ascii_digit())
    };
    let mut words = command.split_whitespace().filter(|word| !is_aside(word));
    loop {
        let word = words.next()?;
        let base = word.rsplit('/').next().filter(|base| !base.is_empty())?;
        match base {
            // The file that is locked.
            "flock" => drop(words.next()),
            wrapper if WRAPPERS.contains(&wrapper) => {}
            preparation if PREPARATIONS.contains(&preparation) => return None,
            base => return Some(base),
        }
    }
}

#[cfg(test)]
mod tests;
