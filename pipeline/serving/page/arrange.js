// A schedule as the charts need it. A "row" is a line of the chart, one machine's; a "place" a
// position in the list of tasks sorted by row, then start; the places of row r are
// rowPtr[r] .. rowPtr[r + 1] - 1.
export function arrange(answer) {
  const { tasks } = answer, n = tasks.length;
  const machines = answer.machines ?? [...new Set(tasks.map((task) => task.machine))];
  const rowOf = new Map(machines.map((name, row) => [name, row]));
  const row = Int32Array.from(tasks, (task) => rowOf.get(task.machine));
  const start = Float64Array.from(tasks, (task) => task.start);
  const finish = Float64Array.from(tasks, (task) => task.finish);
  const taskAt = Int32Array.from({ length: n }, (_, i) => i).sort(
    (i, j) => row[i] - row[j] || start[i] - start[j] || finish[i] - finish[j] || i - j);
  const placeOf = new Int32Array(n), rowPtr = new Int32Array(machines.length + 1);
  const startAt = new Float64Array(n), finishAt = new Float64Array(n);
  taskAt.forEach((i, place) => {
    placeOf[i] = place;
    rowPtr[row[i] + 1]++;
    startAt[place] = start[i];
    finishAt[place] = finish[i];
  });
  for (let r = 0; r < machines.length; r++) rowPtr[r + 1] += rowPtr[r];
  return { answer, machines, row, start, finish, taskAt, placeOf, rowPtr, startAt, finishAt };
}

// First place in [low, high) with times > value.
export function firstAbove(times, value, low, high) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] > value) high = middle; else low = middle + 1;
  }
  return low;
}
// The task of a row that is nearest to a time, or -1 if none is as near as `near`.
export function taskNear({ rowPtr, startAt, finishAt, taskAt }, row, time, near) {
  let best = -1, least = near;
  for (let place = firstAbove(finishAt, time - near, rowPtr[row], rowPtr[row + 1]); place < rowPtr[row + 1]; place++) {
    const distance = Math.max(startAt[place] - time, time - finishAt[place], 0);
    if (distance < least) [best, least] = [taskAt[place], distance];
    if (startAt[place] >= time) break; // the next ones are farther away
  }
  return best;
}

// Parents and children of each task, from the pairs of a schedule's answer.
export function relatives(n, edges) {
  const lists = (own, other) => {
    const ptr = new Int32Array(n + 1), found = new Int32Array(edges.length);
    for (const edge of edges) ptr[edge[own] + 1]++;
    for (let i = 0; i < n; i++) ptr[i + 1] += ptr[i];
    const next = ptr.slice(0, n);
    for (const edge of edges) found[next[edge[own]]++] = edge[other];
    return (i) => found.subarray(ptr[i], ptr[i + 1]);
  };
  return { parentsOf: lists(1, 0), childrenOf: lists(0, 1) };
}
