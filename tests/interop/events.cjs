// An EventSource client: prints three events with their ids, then leaves the stream that is still open.
"use strict";

const Source = globalThis.EventSource ?? require("eventsource");
const source = new Source(process.argv[2]);
let count = 0;

source.onmessage = ({ lastEventId, data }) => {
  console.log(`${lastEventId} ${data}`);
  count += 1;
  if (count === 3) source.close();
};
source.onerror = () => {
  console.error("the stream broke");
  process.exit(1);
};
