/** ServerClock follows the server's clock, whatever the device's own clock says. */
export class ServerClock {
  private offset = 0;

  /** Sets the clock to the time that the server has now, in milliseconds. */
  set(ms: number) {
    this.offset = ms - Date.now();
  }

  now(): number {
    return Date.now() + this.offset;
  }
}
