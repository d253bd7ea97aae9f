//! The Cholesky factor of a positive definite matrix (Golub and Van Loan: Matrix Computations, 2013, section 4.2).

/// The lower triangle L of A = L Lᵀ, by rows.
pub struct Cholesky {
    rows: Vec<Vec<f64>>,
}

impl Cholesky {
    /// The factor of a matrix whose lower triangle is given by rows. Rounding may leave a pivot at or below 0: it then
    /// is as small as a number may be, as if the row were almost that of others.
    pub fn of(triangle: Vec<f64>, size: usize) -> Cholesky {
        let mut entries = triangle.into_iter();
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(size);
        for index in 0..size {
            let given: Vec<f64> = entries.by_ref().take(index + 1).collect();
            let largest = given.last().copied().unwrap_or(0.0);
            let mut row: Vec<f64> = Vec::with_capacity(index + 1);
            for (column, value) in given.into_iter().enumerate() {
                let entry = match rows.get(column) {
                    Some(above) => (value - dot(&row, above)) / above.last().copied().unwrap_or(1.0),
                    None => (value - dot(&row, &row)).max(largest * f64::EPSILON).max(f64::MIN_POSITIVE).sqrt(),
                };
                row.push(entry);
            }
            rows.push(row);
        }
        Cholesky { rows }
    }

    /// The solution x of A x = b.
    pub fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut solved = self.solve_lower(right);
        for (index, row) in self.rows.iter().enumerate().rev() {
            let Some((diagonal, others)) = row.split_last() else { continue };
            let Some((value, before)) = solved.get_mut(..=index).and_then(<[f64]>::split_last_mut) else { continue };
            *value /= diagonal;
            before.iter_mut().zip(others).for_each(|(one, other)| *one -= *value * other);
        }
        solved
    }

    /// bᵀ A⁻¹ b, the square of L⁻¹ b.
    pub fn inverse_square(&self, right: &[f64]) -> f64 {
        let solved = self.solve_lower(right);
        dot(&solved, &solved)
    }

    /// The solution x of L x = b.
    fn solve_lower(&self, right: &[f64]) -> Vec<f64> {
        let mut solved: Vec<f64> = Vec::with_capacity(right.len());
        for (row, value) in self.rows.iter().zip(right) {
            let known = dot(&solved, row);
            solved.push((value - known) / row.last().copied().unwrap_or(1.0));
        }
        solved
    }

    /// The trace of A⁻¹: the sum of the squares of L⁻¹.
    pub fn inverse_trace(&self) -> f64 {
        let column = |first: usize| {
            let mut solved: Vec<f64> = Vec::with_capacity(self.rows.len() - first);
            for (index, row) in self.rows.iter().enumerate().skip(first) {
                let known = row.get(first..index).map_or(0.0, |before| dot(&solved, before));
                let right = if index == first { 1.0 } else { 0.0 };
                solved.push((right - known) / row.last().copied().unwrap_or(1.0));
            }
            dot(&solved, &solved)
        };
        (0..self.rows.len()).map(column).sum()
    }
}

/// The product of two vectors, as far as both reach.
fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn solution_solves(entries in prop::collection::vec(-1.0..1.0, 36), right in prop::collection::vec(-5.0..5.0, 6)) {
            // B Bᵀ + 0.1 is positive definite.
            let at = |row: usize, column: usize| {
                let product: f64 = (0..6).map(|k| entries[6 * row + k] * entries[6 * column + k]).sum();
                product + if row == column { 0.1 } else { 0.0 }
            };
            let triangle = (0..6).flat_map(|row| (0..=row).map(move |column| (row, column))).map(|(r, c)| at(r, c));
            let solved = Cholesky::of(triangle.collect(), 6).solve(&right);
            for (row, wanted) in right.iter().enumerate() {
                let product: f64 = (0..6).map(|column| at(row, column) * solved[column]).sum();
                prop_assert!((product - wanted).abs() < 1e-6, "{product} {wanted}");
            }
            let factor = Cholesky::of((0..6).flat_map(|row| (0..=row).map(move |column| at(row, column))).collect(), 6);
            let unit = |index: usize| (0..6).map(|row| if row == index { 1.0 } else { 0.0 }).collect::<Vec<f64>>();
            let trace: f64 = (0..6).map(|index| factor.solve(&unit(index))[index]).sum();
            prop_assert!((factor.inverse_trace() / trace - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn singular_matrix_gives_finite_numbers() {
        let solved = Cholesky::of(vec![1.0, 1.0, 1.0], 2).solve(&[1.0, 1.0]);
        assert!(solved.iter().all(|value| value.is_finite()), "{solved:?}");
    }
}
