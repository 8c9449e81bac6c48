"""The rules of the exact replay in slow plain Python, written from the trace's README alone."""


def reference_starts(
    jobs: list[tuple[int, int, int]], sizes: list[int], order: str = "fifo"
) -> list[int]:
    """Start seconds of one virtual cluster's (submitted, duration, gpus) jobs, in their order."""
    size = max(sizes)
    free = list(sizes)
    started = [-1] * len(jobs)
    running: list[tuple[int, dict[int, int]]] = []
    waiting: list[int] = []
    arrivals = sorted(range(len(jobs)), key=lambda j: jobs[j][0])
    rank = {j: place for place, j in enumerate(arrivals)}
    while arrivals or waiting:
        now = min([end for end, _ in running] + [jobs[j][0] for j in arrivals[:1]])
        for end, held in running:
            if end == now:
                for node, gpus in held.items():
                    free[node] += gpus
        running = [(end, held) for end, held in running if end != now]
        while arrivals and jobs[arrivals[0]][0] == now:
            waiting.append(arrivals.pop(0))
        waiting.sort(key=rank.__getitem__)
        if order == "sjf":
            waiting.sort(key=lambda j: (jobs[j][1], rank[j]))
        while waiting:
            held = _placed(jobs[waiting[0]][2], free, sizes, size)
            if not held:
                break
            for node, gpus in held.items():
                free[node] -= gpus
            job = waiting.pop(0)
            started[job] = now
            running.append((now + jobs[job][1], held))
    return started


def _placed(gpus: int, free: list[int], sizes: list[int], size: int) -> dict[int, int]:
    if gpus <= size:
        fits = [(free[node], node) for node in range(len(free)) if free[node] >= gpus]
        return {min(fits)[1]: gpus} if fits else {}
    wanted = -(-gpus // size)
    whole = [node for node in range(len(free)) if free[node] == sizes[node] == size]
    return dict.fromkeys(whole[:wanted], size) if len(whole) >= wanted else {}
