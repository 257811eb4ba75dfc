/**
 * What a process of Node's that runs with `--inspect` holds on its heap once it has been collected, in MiB. `log`: where it has told of its inspector.
 * Unlike resident memory this does not depend on when it was collected last.
 */
export async function heapMib(log: string): Promise<number> {
  const url = [...log.matchAll(/^Debugger listening on (ws:\S+)/gm)].at(-1)?.[1];
  if (url === undefined) throw new Error('the process has not told of an inspector');
  const socket = new WebSocket(url);
  try {
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error(`connect to ${url}`));
    });
    await ask(socket, 1, 'HeapProfiler.collectGarbage');
    const { usedSize } = (await ask(socket, 2, 'Runtime.getHeapUsage')) as { usedSize: number };
    return Math.round((usedSize / 2 ** 20) * 10) / 10;
  } finally {
    socket.close();
  }
}

function ask(socket: WebSocket, id: number, method: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    socket.onclose = () => reject(new Error(`${method}: the inspector has gone`));
    socket.onmessage = ({ data }) => {
      const answer = JSON.parse(String(data)) as { id?: number; result?: unknown };
      if (answer.id === id) resolve(answer.result);
    };
    socket.send(JSON.stringify({ id, method }));
  });
}
