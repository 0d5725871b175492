//! Delta debugging (Zeller and Hildebrandt, 2002), by complements.

/// The items without those that are not needed to fail: chunk by chunk, each time half as large,
/// then one by one until no single item can go. `fails` is asked of lists that are never empty
/// and keep their order; once it says no to everything, the result is what there is by then.
pub fn ddmin<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut size = items.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        let mut has_shrunk = false;
        while from < items.len() {
            let to = (from + size).min(items.len());
            let rest = [&items[..from], &items[to..]].concat();
            if !rest.is_empty() && fails(&rest) {
                items = rest;
                has_shrunk = true;
            } else {
                from = to;
            }
        }
        match size {
            1 if !has_shrunk => return items,
            1 => {}
            _ => size = size.div_ceil(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_stays_and_nothing_else() {
        for needed in [vec![0], vec![99], vec![3, 50, 51], vec![0, 10, 20, 98]] {
            let fails = |items: &[u32]| needed.iter().all(|item| items.contains(item));
            assert_eq!(ddmin((0..100).collect(), fails), needed);
        }
    }

    /// Items of which any two will do: what is left depends on the order of questions alone, and
    /// is as small as can be.
    #[test]
    fn no_single_item_can_go_from_the_result() {
        let fails = |items: &[u32]| items.iter().filter(|item| **item % 7 == 0).count() >= 2;
        let left = ddmin((0..1000).collect(), fails);
        assert_eq!(left.len(), 2);
        assert_eq!(left, ddmin((0..1000).collect(), fails));
    }

    #[test]
    fn the_number_of_questions_is_bounded() {
        let mut asked = 0;
        let left = ddmin((0..4096).collect(), |items: &[u32]| {
            asked += 1;
            items.contains(&17)
        });
        assert_eq!((left, asked < 60), (vec![17], true), "{asked}");
    }
}
