//! Checks that every publishable crate builds from its own archive, without the rest of the
//! repository beside it.

use cargo_metadata::MetadataCommand;

use crate::shell::{self, root};

pub(crate) fn run() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()?;
    // `publish = false` reads as an empty list of registries.
    let publishable = metadata.workspace_packages().into_iter().filter(|member| {
        member
            .publish
            .as_ref()
            .is_none_or(|registries| !registries.is_empty())
    });
    let names: Vec<String> = publishable.map(|member| member.name.to_string()).collect();
    let mut arguments = vec!["package", "--allow-dirty"];
    for name in &names {
        arguments.extend(["--package", name]);
    }
    shell::run(&mut shell::cargo(&arguments))
}
