//! How an operator's own labelled prompts move what a model is expected to answer right.
//!
//! Public scores place a model on the average prompt of public benchmarks. What `pointsman calibrate` learns from prompts of
//! one's own is data in the policy: P(correct) = σ(scale · logit + offset + offset of the task), where the logit is that of the
//! benchmark scores. The neutral calibration changes nothing.

use crate::analysis::classifier::Task;

/// How many kinds of task there are.
const TASK_COUNT: usize = Task::ALL.len();

/// What is added to and multiplied with a model's logit of a correct answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Factor on the logit: less than 1 where the classifier is surer than it should be.
    pub scale: f32,
    /// Added for every prompt, in logits.
    pub offset: f32,
    /// Added for prompts of one task, in logits, in the order of [`Task::ALL`].
    pub tasks: [f32; TASK_COUNT],
}

impl Calibration {
    /// The calibration that changes nothing.
    pub const NEUTRAL: Calibration = Calibration {
        scale: 1.0,
        offset: 0.0,
        tasks: [0.0; TASK_COUNT],
    };

    /// The logit of a correct answer to a prompt of `task`, after what was learned.
    pub fn apply(&self, logit: f32, task: Task) -> f32 {
        let own = self.tasks.get(task as usize).copied().unwrap_or(0.0);
        self.scale * logit + self.offset + own
    }
}

impl Default for Calibration {
    fn default() -> Calibration {
        Calibration::NEUTRAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neutral_one_changes_nothing() {
        assert_eq!(Calibration::NEUTRAL.apply(0.7, Task::Math), 0.7);
    }

    #[test]
    fn offset_scale_and_task_add_up() {
        let mut learned = Calibration {
            scale: 0.5,
            offset: 0.25,
            ..Calibration::NEUTRAL
        };
        if let Some(math) = learned.tasks.get_mut(Task::Math as usize) {
            *math = -1.0;
        }
        assert_eq!(learned.apply(2.0, Task::Math), 0.25);
        assert_eq!(learned.apply(2.0, Task::Chat), 1.25);
    }
}
