//! The bytes of a receipt: a version, then numbers of fixed width in little endian, in the order of `write`.
//!
//! Quantised so that the probability of a correct answer, recomputed for any model, is off by less than 0.01.

use super::{Flags, MAX_GRADE, Receipt, RequestTraits};
use crate::analysis::classifier::{
    Classification, DOMAIN_COUNT, Domain, LATENT_COUNT, SKILL_COUNT, TASK_COUNT, Task,
};
use crate::api::{Api, Capabilities};
use crate::state::codec::{Reader, Writer};

/// The version of this layout.
///
/// INVARIANT: another order, width or number of the fields below is another version.
pub(super) const VERSION: u8 = 1;

const _: () = assert!(
    TASK_COUNT == 11 && DOMAIN_COUNT == 8 && SKILL_COUNT == 6 && LATENT_COUNT == 16,
    "the classifier has other numbers: its receipts need another version"
);

/// Bytes of a receipt without its code.
pub(super) const CONTENT_BYTES: usize =
    69 + TASK_COUNT + DOMAIN_COUNT + 2 * SKILL_COUNT + LATENT_COUNT;

/// Where the hint of the key stands.
const HINT_AT: usize = 1;

/// Steps of a logit, from -8 to 8.
const LOGIT_SPAN: f32 = 8.0;
/// Steps of the difficulty per logit.
const DIFFICULTY_STEPS: f32 = 1024.0;
/// Steps of a skill's weight per 1.
const WEIGHT_STEPS: f32 = 8192.0;
/// Steps of [`factor_unit`] per 1, which is 1/64 at most.
const UNIT_STEPS: f32 = 4_194_240.0;
/// Steps of a z-score per standard deviation.
const SCORE_STEPS: f32 = 16.0;
/// Steps of the deviation of an answer's length per 1.
const SIGMA_STEPS: f32 = 128.0;
/// Steps of the logarithm of a number of tokens per 1: whole numbers below 2,900 stay what they are.
const LOG_STEPS: f32 = 2900.0;

/// The hint of the key in `content`.
pub(super) fn hint_of(content: &[u8]) -> Option<u8> {
    content.get(HINT_AT).copied()
}

/// The bytes of `receipt`, without a code.
pub(super) fn write(receipt: &Receipt, hint: u8) -> Vec<u8> {
    let mut out = Writer::new(VERSION, CONTENT_BYTES + super::MAC_BYTES);
    out.u8(hint);
    out.u32(receipt.policy);
    out.u32(receipt.time_s);
    out.u64(receipt.nonce);
    out.u32(receipt.model);
    out.u32(receipt.backend);
    out.u32(receipt.runner_up.unwrap_or(0));
    out.u32(receipt.profile);
    out.u8(logit(receipt.p));
    out.u8(logit(receipt.runner_up_p));
    out.u16(steps(receipt.propensity, 65_535.0) as u16);
    out.u16(flags(receipt));
    write_request(&receipt.request, &mut out);
    out.u32(receipt.tenant.unwrap_or(0));
    out.u16(receipt.classifier);
    write_classification(&receipt.classification, &mut out);
    out.finish()
}

fn write_request(request: &RequestTraits, out: &mut Writer) {
    out.u8(request.api as u8);
    out.u16(request.needs.bits());
    out.u16(log(f64::from(request.input_tokens)));
    out.u16(log(f64::from(request.window_tokens)));
    // 0 is no bound, so that a bound is one more.
    let bound = request.max_tokens.map_or(0.0, |most| f64::from(most) + 1.0);
    out.u16(log(bound));
    out.u8(request.choices.min(255) as u8);
}

fn write_classification(said: &Classification, out: &mut Writer) {
    out.u8(said.task as u8);
    out.u8(said.domain as u8);
    for probability in said
        .task_probabilities
        .iter()
        .chain(&said.domain_probabilities)
    {
        out.u8(steps(*probability, 255.0) as u8);
    }
    out.i16(signed(said.difficulty, DIFFICULTY_STEPS));
    for weight in &said.skill_weights {
        out.u16(steps(*weight, WEIGHT_STEPS) as u16);
    }
    out.u16(steps(factor_unit(said), UNIT_STEPS) as u16);
    for factor in &said.raw_factors {
        out.i8(*factor);
    }
    out.i8((said.gain * SCORE_STEPS).round() as i8);
    out.i8((said.weak_failure * SCORE_STEPS).round() as i8);
    out.u8(steps(said.measured, 255.0) as u8);
    out.u8(steps(said.uncertainty, 255.0) as u8);
    out.u16(log(f64::from(said.output_tokens)));
    out.u8(steps(said.output_tokens_sigma, SIGMA_STEPS) as u8);
}

/// Reads bytes of [`write`].
///
/// # Errors
/// The offset of the first byte that it does not write.
pub(super) fn read(content: &[u8]) -> Result<Receipt, usize> {
    let mut input = Reader::new(content);
    let version = input.u8();
    if version != Some(VERSION) {
        return Err(0);
    }
    input.u8().ok_or(HINT_AT)?;
    let receipt = read_all(&mut input);
    let at = content.len() - input.left();
    receipt.filter(|_| input.left() == 0).ok_or(at)
}

fn read_all(input: &mut Reader<'_>) -> Option<Receipt> {
    let (policy, time_s, nonce) = (input.u32()?, input.u32()?, input.u64()?);
    let (model, backend) = (input.u32()?, input.u32()?);
    let (runner_up, profile) = (some(input.u32()?), input.u32()?);
    let (p, runner_up_p) = (from_logit(input.u8()?), from_logit(input.u8()?));
    let propensity = f32::from(input.u16()?) / 65_535.0;
    let bits = input.u16()?;
    let request = read_request(input)?;
    let tenant = some(input.u32()?);
    let classifier = input.u16()?;
    let classification = read_classification(input, bits)?;
    let has = |flag: u16| bits & flag != 0;
    Some(Receipt {
        policy,
        time_s,
        nonce,
        model,
        backend,
        runner_up,
        profile,
        p,
        runner_up_p: if runner_up.is_some() {
            runner_up_p
        } else {
            0.0
        },
        propensity,
        flags: Flags {
            is_pinned: has(PINNED),
            is_explored: has(EXPLORED),
            is_fallback: has(FALLBACK),
            streams: has(STREAMS),
            begins: has(BEGINS),
            grade: has(JUDGED).then_some((bits >> GRADE_AT) as u8 & MAX_GRADE),
        },
        request,
        tenant,
        classifier,
        classification,
    })
}

fn read_request(input: &mut Reader<'_>) -> Option<RequestTraits> {
    Some(RequestTraits {
        api: one_of(input, &Api::ALL)?,
        needs: Capabilities::from_bits(input.u16()?),
        input_tokens: from_log(input.u16()?),
        window_tokens: from_log(input.u16()?),
        max_tokens: match input.u16()? {
            0 => None,
            bound => Some(from_log(bound).saturating_sub(1)),
        },
        choices: u32::from(input.u8()?.max(1)),
    })
}

fn read_classification(input: &mut Reader<'_>, flags: u16) -> Option<Classification> {
    let task = one_of(input, Task::ALL)?;
    let domain = one_of(input, Domain::ALL)?;
    let task_probabilities = each::<TASK_COUNT>(input, |input| Some(fraction(input.u8()?)))?;
    let domain_probabilities = each::<DOMAIN_COUNT>(input, |input| Some(fraction(input.u8()?)))?;
    let of = |all: &[f32], place: usize| all.get(place).copied().unwrap_or_default();
    let difficulty = f32::from(input.i16()?) / DIFFICULTY_STEPS;
    let skill_weights =
        each::<SKILL_COUNT>(input, |input| Some(f32::from(input.u16()?) / WEIGHT_STEPS))?;
    let unit = f32::from(input.u16()?) / UNIT_STEPS;
    let mut raw_factors = [0; LATENT_COUNT];
    for factor in &mut raw_factors {
        *factor = input.i8()?;
    }
    Some(Classification {
        task,
        task_probability: of(&task_probabilities, task as usize),
        task_probabilities,
        domain,
        domain_probability: of(&domain_probabilities, domain as usize),
        domain_probabilities,
        difficulty,
        skill_weights,
        latent_factors: raw_factors.map(|raw| f32::from(raw) * unit),
        raw_factors,
        gain: f32::from(input.i8()?) / SCORE_STEPS,
        weak_failure: f32::from(input.i8()?) / SCORE_STEPS,
        measured: fraction(input.u8()?),
        uncertainty: fraction(input.u8()?),
        output_tokens: from_log(input.u16()?) as f32,
        output_tokens_sigma: f32::from(input.u8()?) / SIGMA_STEPS,
        from_model: flags & FROM_MODEL != 0,
        model_failed: flags & MODEL_FAILED != 0,
    })
}

const PINNED: u16 = 1;
const EXPLORED: u16 = 1 << 1;
const FALLBACK: u16 = 1 << 2;
const STREAMS: u16 = 1 << 3;
const BEGINS: u16 = 1 << 4;
const FROM_MODEL: u16 = 1 << 5;
const MODEL_FAILED: u16 = 1 << 6;
const JUDGED: u16 = 1 << 7;
/// Where the four bits of the judge's grade begin.
const GRADE_AT: u32 = 8;

fn flags(receipt: &Receipt) -> u16 {
    let (flags, said) = (&receipt.flags, &receipt.classification);
    let pairs = [
        (flags.is_pinned, PINNED),
        (flags.is_explored, EXPLORED),
        (flags.is_fallback, FALLBACK),
        (flags.streams, STREAMS),
        (flags.begins, BEGINS),
        (said.from_model, FROM_MODEL),
        (said.model_failed, MODEL_FAILED),
        (flags.grade.is_some(), JUDGED),
    ];
    let set = pairs.iter().filter(|(is_set, _)| *is_set);
    let grade = u16::from(flags.grade.unwrap_or(0).min(MAX_GRADE)) << GRADE_AT;
    set.fold(grade, |bits, (_, bit)| bits | bit)
}

/// A key, or `None` for 0.
fn some(key: u32) -> Option<u32> {
    (key != 0).then_some(key)
}

/// A number from 0 in steps, rounded.
fn steps(number: f32, per_one: f32) -> f32 {
    (number * per_one).round().clamp(0.0, 65_535.0)
}

fn fraction(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

/// A number of either sign in steps, rounded.
fn signed(number: f32, per_one: f32) -> i16 {
    (number * per_one).round() as i16
}

/// How much of a latent factor one step of a raw one is: the two differ by a common factor, the confidence in them.
fn factor_unit(said: &Classification) -> f32 {
    let raw: f32 = said
        .raw_factors
        .iter()
        .map(|raw| f32::from(*raw).abs())
        .sum();
    let all: f32 = said.latent_factors.iter().map(|factor| factor.abs()).sum();
    if raw > 0.0 { all / raw } else { 0.0 }
}

/// The logit of a probability.
fn logit(p: f32) -> u8 {
    let logit = (p / (1.0 - p)).ln().clamp(-LOGIT_SPAN, LOGIT_SPAN);
    ((logit + LOGIT_SPAN) * 255.0 / (2.0 * LOGIT_SPAN)).round() as u8
}

fn from_logit(byte: u8) -> f32 {
    let logit = f32::from(byte) * 2.0 * LOGIT_SPAN / 255.0 - LOGIT_SPAN;
    1.0 / (1.0 + (-logit).exp())
}

/// The logarithm of a number of tokens.
fn log(tokens: f64) -> u16 {
    (tokens.max(0.0).ln_1p() * f64::from(LOG_STEPS)).round() as u16
}

fn from_log(steps: u16) -> u32 {
    (f64::from(steps) / f64::from(LOG_STEPS)).exp_m1().round() as u32
}

/// One of `all`, by its place; a place that none of them has is not read.
fn one_of<T: Copy>(input: &mut Reader<'_>, all: &[T]) -> Option<T> {
    let mut ahead = *input;
    let found = all.get(usize::from(ahead.u8()?)).copied()?;
    *input = ahead;
    Some(found)
}

fn each<const N: usize>(
    input: &mut Reader<'_>,
    mut read: impl FnMut(&mut Reader<'_>) -> Option<f32>,
) -> Option<[f32; N]> {
    let mut all = [0.0; N];
    for slot in &mut all {
        *slot = read(input)?;
    }
    Some(all)
}
