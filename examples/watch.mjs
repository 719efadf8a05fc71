// Prints the kernel's uevents until it is interrupted: node examples/watch.mjs
import { openMonitor, openSystem } from 'tsmodprobe';

const monitor = await openMonitor(openSystem(), {
  onEvent: ({ action, devpath, properties }) => console.log(action, devpath, properties.get('MODALIAS') ?? ''),
  onLost: () => console.error('some events were lost'),
  onError: (error) => {
    throw error;
  },
});
process.once('SIGINT', () => void monitor.close());
console.error(`listening, receive buffer ${monitor.receiveBuffer} bytes`);
