//! What a worker knows of a judge that grades answers: a breaker of its own, and a part of the judge's budget.

use super::{Answered, Breaker, JudgeState, NotAsked, Spending};
use crate::policy::Policy;

/// What is known of its grading of answers.
#[derive(Debug, Default)]
pub(super) struct Grading {
    breaker: Breaker,
    /// Part of the judge's spending.
    spending: Spending,
}

impl JudgeState {
    /// Whether the judge may grade an answer now, given what that costs. If so, it counts for the budget of grading and for that of
    /// the judge; its end has to be reported to [`JudgeState::finish_grading`].
    ///
    /// # Errors
    /// The reason if it may not.
    pub fn admit_grading(
        &mut self,
        policy: &Policy,
        cost_usd: f64,
        now_ns: u64,
    ) -> Result<(), NotAsked> {
        let Some(judge) = &policy.judge else {
            return Err(NotAsked::Noise);
        };
        let tracked = self.tracked(policy);
        let (all, own) = (&mut tracked.spending, &mut tracked.grading.spending);
        all.check(judge.max_usd_per_hour, cost_usd, now_ns)?;
        own.check(judge.grading_usd_per_hour(), cost_usd, now_ns)?;
        tracked.grading.breaker.check(now_ns)?;
        all.add(cost_usd, now_ns);
        own.add(cost_usd, now_ns);
        Ok(())
    }

    /// The grading of an answer has ended. `difference_usd` is its true cost less the one that it was admitted with. Says nothing of
    /// how the judge answers questions about prompts, which are shorter, and for which requests wait.
    pub fn finish_grading(
        &mut self,
        policy: &Policy,
        answered: Answered,
        difference_usd: f64,
        now_ns: u64,
    ) {
        let tracked = self.tracked(policy);
        if difference_usd.is_finite() {
            tracked.spending.add(difference_usd, now_ns);
            tracked.grading.spending.add(difference_usd, now_ns);
        }
        tracked.grading.breaker.finish(answered, now_ns);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn policy(judge: &str) -> Policy {
        let text = format!(
            r#"{{"models": [{{"name": "m"}}, {{"name": "n"}}],
            "backends": [{{"name": "a", "model": "m", "price": {{"input": 1, "output": 1}}}},
                         {{"name": "b", "model": "n", "price": {{"input": 1, "output": 1}}}}],
            "judge": {{"cluster": "j", "model": "j", "grade_share": 1 {judge}}}}}"#
        );
        Policy::compile(&text).unwrap()
    }

    #[test]
    fn grading_takes_half_of_the_hours_budget() {
        let policy = policy(r#", "max_share": 1, "max_usd_per_hour": 1"#);
        let mut state = JudgeState::default();
        let graded = (0..100).filter(|_| state.admit_grading(&policy, 0.0625, 0).is_ok());
        assert_eq!(graded.count(), 8);
        let asked = (0..100).filter(|_| state.admit(&policy, 1.0, 0.0625, 0).is_ok());
        assert_eq!(asked.count(), 8);
        assert_eq!(
            state.admit_grading(&policy, 0.0625, 0),
            Err(NotAsked::Budget)
        );
        // The true cost was lower, and a new hour begins.
        state.finish_grading(&policy, Answered::Graded { ms: 1.0 }, -0.0625, 0);
        assert_eq!(state.admit_grading(&policy, 0.0625, 0), Ok(()));
        assert_eq!(state.spent_usd(&policy, 0), 1.0);
        assert_eq!(
            state.admit_grading(&policy, 0.0625, 3_600_000_000_000),
            Ok(())
        );
    }

    #[test]
    fn a_judge_that_only_grades_may_spend_all() {
        let policy = policy(r#", "max_share": 0, "max_usd_per_hour": 1"#);
        let mut state = JudgeState::default();
        let graded = (0..100).filter(|_| state.admit_grading(&policy, 0.0625, 0).is_ok());
        assert_eq!(graded.count(), 16);
    }

    #[test]
    fn breakers_of_grading_and_of_questions_are_apart() {
        let policy = policy(r#", "max_share": 1"#);
        let mut state = JudgeState::default();
        for _ in 0..5 {
            assert_eq!(state.admit_grading(&policy, 0.0, 0), Ok(()));
            state.finish_grading(&policy, Answered::Failed, 0.0, 0);
        }
        assert_eq!(
            state.admit_grading(&policy, 0.0, 1),
            Err(NotAsked::BreakerOpen)
        );
        assert!(!state.is_open(&policy, 1));
        assert_eq!(state.admit(&policy, 1.0, 0.0, 1), Ok(()));
        // After the pause one answer tries it, and a grade closes the breaker.
        let later = 6_000_000_000;
        assert_eq!(state.admit_grading(&policy, 0.0, later), Ok(()));
        assert_eq!(
            state.admit_grading(&policy, 0.0, later),
            Err(NotAsked::BreakerOpen)
        );
        state.finish_grading(&policy, Answered::Graded { ms: 1.0 }, 0.0, later);
        assert_eq!(state.admit_grading(&policy, 0.0, later), Ok(()));
    }
}
