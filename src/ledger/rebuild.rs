//! Derived tables that are incomplete are rebuilt from leaves and seals, from where the rebuilding last came to: a table that was dropped, one that an
//! administrator wants made anew, one that an older program did not have.

use super::LedgerError;
use super::frame;
use super::recovery::{self, index_of};
use super::state::{self, StoredRows};
use super::store::Store;
use super::tables::{self, DERIVED, Invoices, Leaves, Meta, Seals, Table as _, Tiles};
use super::value::Seal;
use crate::codec::leaf::Leaf;
use crate::crypto::merkle;
use crate::limits::REBUILD_CHUNK;

/// Empties a derived table and marks it to be rebuilt at the next opening. `false` if the table is not derived.
pub(super) fn begin(store: &Store, table: &str) -> Result<bool, LedgerError> {
    let Some((table, watermark)) = DERIVED.into_iter().find(|name| *name == table).and_then(|name| Some((name, tables::watermark(name)?))) else {
        return Ok(false);
    };
    let mut batch = store.batch();
    batch.clear(table);
    batch.put::<Meta>(&watermark, &0u64.to_be_bytes().to_vec());
    batch.commit(true)?;
    Ok(true)
}

/// Whether something is marked.
pub(super) fn is_pending(store: &Store) -> Result<bool, LedgerError> {
    for watermark in DERIVED.into_iter().filter_map(tables::watermark) {
        if store.get::<Meta>(&watermark)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Rebuilds what is marked, up to the newest checkpoint.
pub(super) fn complete(store: &Store, size: u64) -> Result<(), LedgerError> {
    for table in DERIVED {
        let Some(watermark) = tables::watermark(table) else { continue };
        let from = match store.get::<Meta>(&watermark)? {
            Some(bytes) => index_of(&bytes, "meta")?,
            None => continue,
        };
        replay(store, table, watermark, from, size)?;
    }
    Ok(())
}

fn replay(store: &Store, table: &'static str, watermark: &'static str, from: u64, size: u64) -> Result<(), LedgerError> {
    let mut tree = if table == Tiles::NAME { Some(recovery::rebuild_tree(store, from)?) } else { None };
    let mut leaves = store.scan::<Leaves>(&from);
    let mut seals = store.scan::<Seals>(&from);
    let mut at = from;
    while at < size {
        let mut batch = store.batch();
        let mut rows = StoredRows::new(store);
        let end = size.min(at + REBUILD_CHUNK as u64);
        for index in at..end {
            let (bytes, seal) = next_entry(index, leaves.next().transpose()?, seals.next().transpose()?)?;
            let leaf = Leaf::decode(&bytes).map_err(|error| LedgerError::broken(index, error.to_string()))?;
            if let Some(tree) = &mut tree {
                for tile in tree.append(merkle::leaf_hash(&bytes)) {
                    batch.put_raw::<Tiles>(&(tile.level, tile.n), tile.bytes.as_slice());
                }
            } else if table == Invoices::NAME {
                state::fold(&mut rows, index, &leaf, &seal)?;
            } else if let Some(row) = frame::derived_row(index, &leaf, &seal)?
                && row.table() == table
            {
                row.put(index, &mut batch);
            }
        }
        for (id, row) in rows.changed() {
            batch.put::<Invoices>(id, row);
        }
        // With the rows in one batch, so that nothing is ever applied twice.
        batch.put::<Meta>(&watermark, &end.to_be_bytes().to_vec());
        batch.commit(false)?;
        at = end;
    }
    let mut batch = store.batch();
    batch.delete::<Meta>(&watermark);
    Ok(batch.commit(true)?)
}

type Stored<T> = Option<(Box<[u8]>, T)>;

fn next_entry(index: u64, leaf: Stored<Vec<u8>>, seal: Stored<Seal>) -> Result<(Vec<u8>, Seal), LedgerError> {
    match (leaf, seal) {
        (Some((leaf_key, leaf)), Some((seal_key, seal))) if *leaf_key == index.to_be_bytes() && *seal_key == index.to_be_bytes() => Ok((leaf, seal)),
        _ => Err(LedgerError::broken(index, "a leaf or its seal is missing".into())),
    }
}
