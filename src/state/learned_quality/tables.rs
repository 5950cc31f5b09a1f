//! Functions of a logit as integers, so that sums of them come out alike on every machine and in every order.

/// Steps of a logit: 1/16.
pub(super) const LOGIT_STEPS: f64 = 16.0;
/// The greatest logit, in steps: 8. Beyond it a model is as good as always or never right.
pub(super) const MAX_LOGIT: i64 = 128;
/// Steps of the values of [`curvature`] and [`probability`].
pub(super) const STEPS: i64 = 1024;

/// tanh(z/2)/2z at |z| = 0, 1/16, … 8, in steps of 1/1024: the curvature of the parabola that touches ln σ at ±z and lies
/// nowhere above it (Jaakkola and Jordan, "Bayesian parameter estimation via variational methods", 2000).
static CURVATURE: [i64; 129] = [
    256, 256, 256, 255, 255, 254, 253, 252, 251, 249, 248, 246, 245, 243, 241, 239, 237, 234, 232,
    230, 227, 225, 222, 219, 217, 214, 211, 209, 206, 203, 200, 198, 195, 192, 190, 187, 184, 182,
    179, 176, 174, 171, 169, 166, 164, 161, 159, 157, 154, 152, 150, 148, 146, 144, 142, 140, 138,
    136, 134, 132, 130, 128, 127, 125, 123, 122, 120, 119, 117, 116, 114, 113, 111, 110, 109, 107,
    106, 105, 103, 102, 101, 100, 99, 98, 97, 95, 94, 93, 92, 91, 90, 89, 88, 88, 87, 86, 85, 84,
    83, 82, 82, 81, 80, 79, 79, 78, 77, 76, 76, 75, 74, 74, 73, 72, 72, 71, 71, 70, 69, 69, 68, 68,
    67, 67, 66, 65, 65, 64, 64,
];

/// σ(z) at z = 0, 1/16, … 8, in steps of 1/1024.
static PROBABILITY: [i64; 129] = [
    512, 528, 544, 560, 576, 591, 607, 622, 637, 652, 667, 681, 695, 709, 723, 736, 749, 761, 773,
    785, 796, 807, 817, 827, 837, 847, 856, 864, 872, 880, 888, 895, 902, 908, 915, 921, 926, 932,
    937, 942, 946, 951, 955, 959, 962, 966, 969, 972, 975, 978, 981, 983, 986, 988, 990, 992, 994,
    996, 997, 999, 1000, 1002, 1003, 1004, 1006, 1007, 1008, 1009, 1010, 1010, 1011, 1012, 1013,
    1013, 1014, 1015, 1015, 1016, 1016, 1017, 1017, 1018, 1018, 1018, 1019, 1019, 1019, 1020, 1020,
    1020, 1020, 1021, 1021, 1021, 1021, 1021, 1021, 1022, 1022, 1022, 1022, 1022, 1022, 1022, 1022,
    1023, 1023, 1023, 1023, 1023, 1023, 1023, 1023, 1023, 1023, 1023, 1023, 1023, 1023, 1023, 1023,
    1023, 1024, 1024, 1024, 1024, 1024, 1024, 1024,
];

/// ln(1 + e^−z) at z = 0, 1/16, … 8, in steps of 1/1024.
static SURPRISAL: [i64; 129] = [
    710, 678, 648, 618, 590, 562, 536, 510, 485, 462, 439, 417, 396, 376, 357, 338, 321, 304, 288,
    273, 258, 244, 231, 218, 206, 195, 184, 174, 164, 155, 146, 138, 130, 123, 116, 109, 103, 97,
    91, 86, 81, 76, 72, 67, 63, 60, 56, 53, 50, 47, 44, 41, 39, 37, 34, 32, 30, 29, 27, 25, 24, 22,
    21, 20, 19, 17, 16, 15, 15, 14, 13, 12, 11, 11, 10, 9, 9, 8, 8, 7, 7, 6, 6, 6, 5, 5, 5, 4, 4,
    4, 4, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 0, 0, 0, 0, 0, 0, 0,
];

/// ln(1 + e^z) in steps of 1/1024: the log-loss of a wrong answer.
pub(super) fn surprisal(logit: i64) -> i64 {
    at(&SURPRISAL, logit) + logit.clamp(0, MAX_LOGIT) * STEPS / LOGIT_STEPS as i64
}

/// The curvature at a logit.
pub(super) fn curvature(logit: i64) -> i64 {
    at(&CURVATURE, logit)
}

/// The probability at a logit.
pub(super) fn probability(logit: i64) -> i64 {
    let up = at(&PROBABILITY, logit);
    if logit < 0 { STEPS - up } else { up }
}

fn at(table: &[i64; 129], logit: i64) -> i64 {
    let place = logit.unsigned_abs().min(MAX_LOGIT as u64) as usize;
    table.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_the_functions() {
        for step in -140_i64..=140 {
            let logit = step.clamp(-MAX_LOGIT, MAX_LOGIT) as f64 / LOGIT_STEPS;
            let sigma = 1.0 / (1.0 + (-logit).exp());
            assert!((probability(step) as f64 / STEPS as f64 - sigma).abs() < 6e-4);
            let bend = if step == 0 {
                0.25
            } else {
                (logit / 2.0).tanh() / (2.0 * logit)
            };
            let loss = logit.exp().ln_1p();
            assert!((surprisal(step) as f64 / STEPS as f64 - loss).abs() < 6e-4);
            assert!((curvature(step) as f64 / STEPS as f64 - bend).abs() < 6e-4);
        }
    }
}
