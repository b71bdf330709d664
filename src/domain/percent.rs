//! Percentages that people can add up. Whole numbers, never `NaN`.

/// Percent of the whole for choices that exclude each other: the parts sum to 100 (largest remainder; a tie in the remainders goes to the
/// larger count). But equal counts have equal percents, or a hall would see a winner where there is none: where what is left is not enough
/// for all of them, each is rounded, and the sum is as near to 100 as that is. All zero when nobody voted.
pub fn largest_remainder(counts: &[u64]) -> Vec<u32> {
    let total: u128 = counts.iter().map(|c| u128::from(*c)).sum();
    if total == 0 {
        return vec![0; counts.len()];
    }
    let mut percents: Vec<u32> = counts.iter().map(|c| (u128::from(*c) * 100 / total) as u32).collect();
    let mut missing = 100 - percents.iter().sum::<u32>() as usize;
    let remainder = |i: usize| u128::from(counts[i]) * 100 % total;
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(remainder(*i)), std::cmp::Reverse(counts[*i]), *i));
    for equals in order.chunk_by(|a, b| counts[*a] == counts[*b]) {
        let fits = equals.len() <= missing;
        if missing == 0 || !(fits || remainder(equals[0]) * 2 >= total) {
            break;
        }
        for i in equals {
            percents[*i] += 1;
        }
        missing = missing.saturating_sub(equals.len());
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
    fn what_is_equal_stays_equal() {
        assert_eq!(largest_remainder(&[1, 1, 1]), [33, 33, 33]);
        assert_eq!(largest_remainder(&[6, 9, 3, 9]), [22, 33, 11, 33]);
        assert_eq!(largest_remainder(&[1; 6]), [17; 6]);
        assert_eq!(largest_remainder(&[1, 1, 4]), [17, 17, 67]);
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
        fn bars_sum_to_a_hundred_where_no_two_are_equal_and_zero_stays_zero(counts in prop::collection::btree_set(0u64..=u64::MAX / 200, 1..21)) {
            let counts = Vec::from_iter(counts);
            let percents = largest_remainder(&counts);
            let any = counts.iter().any(|c| *c > 0);
            prop_assert_eq!(percents.iter().sum::<u32>(), if any { 100 } else { 0 });
            prop_assert!(counts.iter().zip(&percents).all(|(count, percent)| *count > 0 || *percent == 0));
        }

        #[test]
        fn more_votes_are_never_less_percent_and_as_many_are_as_much(counts in prop::collection::vec(0u64..12, 1..21)) {
            let percents = largest_remainder(&counts);
            let total: u64 = counts.iter().sum();
            for (percent, count) in percents.iter().zip(&counts) {
                let exact = if total == 0 { 0.0 } else { *count as f64 * 100.0 / total as f64 };
                prop_assert!((f64::from(*percent) - exact).abs() < 1.0, "{} of {:?}: {}", count, counts, percent);
                for (other_percent, other) in percents.iter().zip(&counts) {
                    prop_assert!(count != other || percent == other_percent);
                    prop_assert!(count > other || percent <= other_percent);
                }
            }
        }
    }
}
