"""Folds of a cross-validation: which records are test, validation and training in one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lossmith.config.data import DataConfig, FoldConfig
from lossmith.data.dealing import deal_clusters, deal_records, pick_records
from lossmith.data.splits import TEST, TRAIN, VALIDATION, stir
from lossmith.errors import ConfigError, DataError

LEFT_OUT = -1


@dataclass(frozen=True)
class Dealt:
    """What folds need of the records; arrays are (records,).

    `ids` and `clusters` are hashes, `labels` is (records, classes) of bool with the class names in `names`.
    """

    ids: np.ndarray
    clusters: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]

    def of(self, kept: np.ndarray) -> Dealt:
        """Some of the records."""
        return Dealt(self.ids[kept], self.clusters[kept], self.labels[kept], self.names)


def folds_of(data: DataConfig) -> list[FoldConfig]:
    """The folds of a configuration, the outer before the inner; none where the splits are as data.split says.

    Raises ConfigError for a fold that cannot be, whatever the records.
    """
    given = data.split.folds
    folds = [] if given is None else [given] if isinstance(given, FoldConfig) else given
    for fold in folds:
        if fold.fold >= fold.k:
            raise ConfigError(
                f"there is no fold {fold.fold} of {fold.k}",
                got=f"data.split.folds: fold {fold.fold}, k {fold.k}",
                expected=f"a fold from 0 to {fold.k - 1}",
            )
        if fold.clustered and not data.has_clusters:
            raise ConfigError(
                "clustered folds need the cluster of each record", got="data.cluster is null", fix="data.cluster=COLUMN"
            )
    return folds


def assign_fold(records: Dealt, own: np.ndarray, folds: Sequence[FoldConfig], *, seed: int) -> np.ndarray:
    """The split of every record in a fold, (records,) of int8, -1 for those that are left out.

    `own` are the splits that the records have without folds. The first fold is cut from the records that are not test
    there (from all of them with `all_records`), the next from what the one before leaves for training and validation,
    so that an inner fold never sees the test records of the outer one.

    Raises DataError where there are fewer records, or clusters, than folds.
    """
    split = np.full(len(own), LEFT_OUT, dtype=np.int8)
    pool = np.flatnonzero((own != TEST) | folds[0].all_records)
    for level, fold in enumerate(folds):
        number = fold_numbers(records.of(pool), fold, seed=seed, level=level)
        test, pool = pool[number == fold.fold], pool[number != fold.fold]
    split[test], split[pool] = TEST, TRAIN
    split[pool[_inner(records.of(pool), folds[-1], seed=seed, level=len(folds))]] = VALIDATION
    return split


def fold_numbers(records: Dealt, fold: FoldConfig, *, seed: int, level: int = 0) -> np.ndarray:
    """The fold in which each record is test, (records,) of int64 from 0 to k - 1; the same for all k folds.

    Raises DataError where there are fewer records, or clusters, than folds.
    """
    units = len(np.unique(records.clusters)) if fold.clustered else len(records.ids)
    if units < fold.k:
        what = "clusters" if fold.clustered else "records"
        raise DataError(
            f"{units} {what} cannot make {fold.k} folds",
            got=f"{units} {what} in the training and validation splits",
            expected=f"at least {fold.k}, one for each fold",
            fix=f"at most {max(units, 2)} folds" + (", or folds that are not clustered" if fold.clustered else ""),
        )
    purpose = f"fold {level} {fold.repeat}"
    labels = _labels(records, fold)
    if fold.clustered:
        stirred = stir(records.clusters, seed, purpose)
        return deal_clusters(records.clusters, labels, stirred, shares=[1 / fold.k] * fold.k)
    return deal_records(labels, stir(records.ids, seed, purpose), parts=fold.k)


def fold_doubts(records: Dealt, own: np.ndarray, fold: FoldConfig) -> list[str]:
    """Sentences on classes that cannot be in every fold."""
    if not fold.stratified:
        return []
    pool = records.of(np.flatnonzero((own != TEST) | fold.all_records))
    told = []
    for column, name in enumerate(pool.names):
        holders = pool.labels[:, column]
        units = len(np.unique(pool.clusters[holders])) if fold.clustered else int(holders.sum())
        if units < fold.k:
            what = "clusters hold" if fold.clustered else "records have"
            told.append(f"only {units} {what} the class '{name}', so {fold.k - units} of {fold.k} folds are without it")
    return told


def _inner(records: Dealt, fold: FoldConfig, *, seed: int, level: int) -> np.ndarray:
    """The records of a training part that are its validation split, (records,) of bool."""
    labels, purpose = _labels(records, fold), f"inner {level} {fold.repeat}"
    if fold.clustered:
        stirred = stir(records.clusters, seed, purpose)
        shares = [fold.inner, 1 - fold.inner]
        if len(np.unique(records.clusters)) < len(shares):
            raise DataError(
                "one cluster is left to train and to validate on",
                got=f"{fold.k} clustered folds",
                expected="two clusters beside those of the test fold",
                fix="folds that are not clustered",
            )
        return deal_clusters(records.clusters, labels, stirred, shares=shares) == 0
    return pick_records(labels, stir(records.ids, seed, purpose), share=fold.inner)


def _labels(records: Dealt, fold: FoldConfig) -> np.ndarray:
    return records.labels if fold.stratified else records.labels[:, :0]
