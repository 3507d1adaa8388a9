"""Compiled loops of the genetic algorithm.

A population is (n, k): one row a task in chromosome order, one column an individual. All run
the same task before the next one is touched, so that a task's cost row is read into the cache once
instead of once an individual.
"""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import jit


@jit
def evaluate(
    first,
    last,
    population,
    order,
    etc,
    arrival,
    preds,
    links,
    aft,
    waiting,
    makespan,
):
    """Run individuals `first:last`, appending; fill their mean waiting time and makespan, s.

    `preds` names each parent by its row in the population; `aft` (n, k) is working memory.
    """
    n, p = etc.shape
    width = last - first
    tail = np.zeros((width, p))
    start = np.empty(width)
    waited, latest = np.zeros(width), np.zeros(width)
    latency, bandwidth = links.latency, links.bandwidth
    for row in range(n):
        i = order[row]
        release = arrival[i]
        for k in range(width):
            start[k] = max(release, tail[k, population[row, first + k]])
        for e in range(preds.ptr[i], preds.ptr[i + 1]):
            parent, data = preds.task[e], preds.data[e]
            if links.uniform:
                transfer = latency[0, links.far] + data / bandwidth[0, links.far]
                for k in range(width if links.grouped else 0):
                    a, b = population[parent, first + k], population[row, first + k]
                    same = links.node[a] == links.node[b]
                    there = aft[parent, first + k] + (0.0 if same else transfer)
                    start[k] = there if there > start[k] else start[k]
                for k in range(0 if links.grouped else width):
                    same = population[parent, first + k] == population[row, first + k]
                    there = aft[parent, first + k] + (0.0 if same else transfer)
                    start[k] = there if there > start[k] else start[k]
            else:
                for k in range(width):
                    a, b = population[parent, first + k], population[row, first + k]
                    there = aft[parent, first + k] + (latency[a, b] + data / bandwidth[a, b])
                    start[k] = there if there > start[k] else start[k]
        for k in range(width):
            q = population[row, first + k]
            done = start[k] + etc[i, q]
            aft[row, first + k] = done
            tail[k, q] = done
            waited[k] += start[k] - release
            latest[k] = done if done > latest[k] else latest[k]
    for k in range(width):
        waiting[first + k] = waited[k] / n
        makespan[first + k] = latest[k]


@jit
def breed(population, value, rivals, cut, children, first_child):
    """Fill the columns from `first_child` on with children of tournament winners.

    `rivals` (4, k): two candidates for each mother and two for each father; the first wins a tie.
    A child has the mother's genes before its cut, the father's after.
    """
    n, k = population.shape
    mother, father = np.empty(k, np.int64), np.empty(k, np.int64)
    for child in range(k):
        a, b = rivals[0, child], rivals[2, child]
        mother[child] = a if value[a] <= value[b] else b
        a, b = rivals[1, child], rivals[3, child]
        father[child] = a if value[a] <= value[b] else b
    for row in range(n):
        for child in range(first_child, k):
            parent = mother[child] if row < cut[child] else father[child]
            children[row, child] = population[row, parent]


@jit
def draw_machines(uniform, order, etc, population):
    """Turn numbers in [0, 1) into machines that can hold the task, all equally likely."""
    n, k = population.shape
    p = etc.shape[1]
    eligible = np.empty(p, np.int64)
    for row in range(n):
        count = 0
        for q in range(p):
            if etc[order[row], q] != np.inf:
                eligible[count] = q
                count += 1
        for column in range(k):
            kth = min(int(uniform[row, column] * count), count - 1)
            population[row, column] = eligible[kth]


@jit
def mutate(children, columns, rows, uniform, order, etc):
    """Redraw the genes at these places; the last draw of a place that is named twice stays."""
    gene, task = np.empty((1, 1), children.dtype), np.empty(1, np.int64)
    number = np.empty((1, 1))
    for m in range(rows.size):
        task[0], number[0, 0] = order[rows[m]], uniform[m]
        draw_machines(number, task, etc, gene)
        children[rows[m], columns[m]] = gene[0, 0]
