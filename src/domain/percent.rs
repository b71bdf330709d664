//! Percentages that people can add up. Whole numbers, never `NaN`.

/// Percent of the whole for choices that exclude each other: the parts sum to exactly 100 (largest remainder; a tie in the
/// remainders goes to the larger count, then to the earlier choice). All zero when nobody voted.
pub fn largest_remainder(counts: &[u64]) -> Vec<u32> {
    let total: u128 = counts.iter().map(|c| u128::from(*c)).sum();
    if total == 0 {
        return vec![0; counts.len()];
    }
    let mut percents: Vec<u32> = counts.iter().map(|c| (u128::from(*c) * 100 / total) as u32).collect();
    let missing = 100 - percents.iter().sum::<u32>() as usize;
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(u128::from(counts[*i]) * 100 % total), std::cmp::Reverse(counts[*i]), *i));
    for i in order.into_iter().take(missing) {
        percents[i] += 1;
    }
    percents
}

/// Percent of voters for choices that do not exclude each other, rounded half up; the sum may exceed 100.
pub fn of_voters(count: u64, voters: u64) -> u32 {
    if voters == 0 {
        return 0;
    }
    ((u128::from(count) * 200 + u128::from(voters)) / (u128::from(voters) * 2)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thirds_sum_to_a_hundred() {
        assert_eq!(largest_remainder(&[1, 1, 1]), [34, 33, 33]);
        assert_eq!(largest_remainder(&[700, 504]), [58, 42]);
        assert_eq!(largest_remainder(&[0, 0]), [0, 0]);
        assert_eq!(largest_remainder(&[]), Vec::<u32>::new());
    }

    #[test]
    fn half_rounds_up() {
        assert_eq!((of_voters(1, 8), of_voters(1, 3), of_voters(0, 0), of_voters(5, 5)), (13, 33, 0, 100));
    }

    proptest! {
        #[test]
        fn bars_sum_to_a_hundred_and_zero_stays_zero(counts in prop::collection::vec(0u64..=u64::MAX / 200, 1..21)) {
            let percents = largest_remainder(&counts);
            let any = counts.iter().any(|c| *c > 0);
            prop_assert_eq!(percents.iter().sum::<u32>(), if any { 100 } else { 0 });
            for (percent, count) in percents.iter().zip(&counts) {
                prop_assert!(*count > 0 || *percent == 0);
            }
        }
    }
}
