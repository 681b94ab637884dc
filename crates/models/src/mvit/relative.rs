//! Relative positions of MViT v2.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// For every query place along one axis the rows of the table that belong to the key places, `[n_q, n_k]`.
///
/// The finer of the two grids counts the steps; the coarser one's places are multiples of their ratio.
pub(crate) fn table_rows(n_q: usize, n_k: usize) -> Vec<usize> {
    let q_ratio = (n_k as f64 / n_q as f64).max(1.0);
    let k_ratio = (n_q as f64 / n_k as f64).max(1.0);
    let row = |q: usize, k: usize| {
        let distance = q as f64 * q_ratio - (k as f64 + 1.0 - n_k as f64) * k_ratio;
        distance as usize
    };
    (0..n_q).flat_map(|q| (0..n_k).map(move |k| row(q, k))).collect()
}

/// What the queries add to their scores along each axis of the keys' grid.
///
/// # Shapes
/// `q` is `[N, heads, t * h * w, channels]` without the class token, `tables` are those along `t`, `h`, `w`;
/// the results are `[N, heads, t * h * w, n_k]` along `t`, `h`, `w` of the keys.
pub(super) fn axis_scores(
    q: &Tensor<4>,
    grid_q: [usize; 3],
    grid_k: [usize; 3],
    tables: &[Tensor<2>; 3],
) -> [Tensor<4>; 3] {
    let [n, heads, tokens, channels] = q.dims();
    let [t, h, w] = grid_q;
    [0, 1, 2].map(|axis| {
        let (n_q, n_k) = (grid_q[axis], grid_k[axis]);
        let rows = gather(&tables[axis], n_q, n_k, &q.device());
        // Bring the axis to the front: one product for each of its places.
        let q = q.clone().reshape([n * heads, t, h, w, channels]);
        let order: [usize; 5] = [[1, 0, 2, 3, 4], [2, 0, 1, 3, 4], [3, 0, 1, 2, 4]][axis];
        let places = q.permute(order).reshape([n_q, n * heads * tokens / n_q, channels]);
        let scores = places.matmul(rows.swap_dims(1, 2));
        let moved =
            [[n_q, n * heads, h, w, n_k], [n_q, n * heads, t, w, n_k], [n_q, n * heads, t, h, n_k]][axis];
        let back: [usize; 5] = [[1, 0, 2, 3, 4], [1, 2, 0, 3, 4], [1, 2, 3, 0, 4]][axis];
        scores.reshape(moved).permute(back).reshape([n, heads, tokens, n_k])
    })
}

/// The table's rows for each pair of places, `[n_q, n_k, channels]`.
fn gather(table: &Tensor<2>, n_q: usize, n_k: usize, device: &Device) -> Tensor<3> {
    let [_, channels] = table.dims();
    let rows: Vec<i64> = table_rows(n_q, n_k).into_iter().map(|row| row as i64).collect();
    let rows =
        Tensor::<1, Int>::from_data(TensorData::new(rows, [n_q * n_k]), &device.clone().without_autodiff());
    table.clone().select(0, rows).reshape([n_q, n_k, channels])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finer_grid_counts_the_steps() {
        assert_eq!(table_rows(2, 2), [1, 0, 2, 1]);
        // Eight queries, two keys: keys stand at 0 and 4 of 8 places, the table has 15 rows.
        assert_eq!(table_rows(4, 2), [2, 0, 3, 1, 4, 2, 5, 3]);
        assert_eq!(table_rows(2, 4), [3, 2, 1, 0, 5, 4, 3, 2]);
    }
}
