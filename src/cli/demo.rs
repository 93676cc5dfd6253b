use clap::Args;

use super::run::{Papers, Runner, SceneFlags, Suite, tell};
use super::{out, runtime};
use crate::chaos::{Experiment, RunStatus};
use crate::verdict::{Verdict, exit_code, unmet};

/// Experiments that the program carries within itself; the first is the story.
const EMBEDDED: [&str; 3] = [
    include_str!("../../experiments/feature-store-latency.yaml"),
    include_str!("../../experiments/sham.yaml"),
    include_str!("../../experiments/feature-store-latency-fail-loudly.yaml"),
];

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Which scenario, or `all`
    #[arg(long, value_name = "NAME", default_value = "feature-store-latency")]
    scenario: String,
    /// List the scenarios
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    scene: SceneFlags,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let all = EMBEDDED.iter().map(|yaml| Experiment::read(yaml)).collect::<Result<Vec<_>, _>>()?;
        if self.list {
            for experiment in &all {
                out::say(&format!("{:<36} {}", experiment.name, experiment.hypothesis));
            }
            return Ok(0);
        }
        self.scene.check()?;
        if self.scenario == "all" {
            return runtime()?.block_on(self.run_all(&all));
        }
        let Some(experiment) = all.iter().find(|e| e.name == self.scenario) else {
            let names: Vec<&str> = all.iter().map(|e| e.name.as_str()).collect();
            anyhow::bail!(
                "--scenario {}: no such scenario, expected all, {}",
                self.scenario,
                names.join(", ")
            );
        };
        runtime()?.block_on(self.run_one(experiment))
    }

    async fn run_one(&self, experiment: &Experiment) -> anyhow::Result<u8> {
        if !self.scene.json {
            out::say(&format!("{}: {}\n", experiment.name, experiment.hypothesis));
        }
        let outcome = Runner::new(&self.scene).run(experiment).await?;
        if self.scene.json {
            out::say_json(&outcome.verdict)?;
        } else {
            tell(&outcome);
        }
        let mut papers = Papers::default();
        papers.leave(self.scene.out.as_deref(), &outcome);
        papers.left()?;
        Ok(exit_code(&outcome.verdict))
    }

    async fn run_all(&self, all: &[Experiment]) -> anyhow::Result<u8> {
        let (mut runner, mut papers) = (Runner::new(&self.scene), Papers::default());
        let (mut verdicts, mut met, mut worst): (Vec<Verdict>, u64, u8) = (Vec::new(), 0, 0);
        for experiment in all {
            let folder = self.scene.out.as_ref().map(|dir| dir.join(&experiment.name));
            let outcome = runner.run(experiment).await?;
            if !self.scene.json {
                out::say(&format!("== {}", experiment.name));
                tell(&outcome);
            }
            met += u64::from(unmet(&outcome.verdict, &experiment.expect).is_empty());
            worst = worst.max(exit_code(&outcome.verdict));
            let is_aborted = outcome.verdict.status == RunStatus::Aborted;
            papers.leave(folder.as_deref(), &outcome);
            verdicts.push(outcome.verdict);
            if is_aborted {
                // Who ended one meant all of them.
                break;
            }
        }
        if self.scene.json {
            out::say_json(&Suite::of(verdicts, met))?;
        }
        papers.left()?;
        Ok(worst)
    }
}
