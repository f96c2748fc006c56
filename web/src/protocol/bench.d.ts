// Made by `make generate` from the Go types. Do not edit.

export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Act: {
            /** Format: int64 */
            done: number;
            error?: string;
            /** Format: int64 */
            failed: number;
            latency_ms: components["schemas"]["Latency"];
            name: string;
        };
        Axis: {
            label: string;
            log: boolean;
            unit: string;
        };
        Cell: {
            doubt: string;
            /** Format: double */
            max: number;
            /** Format: double */
            median: number;
            /** Format: double */
            min: number;
            /** Format: double */
            of_published: number;
            /** Format: double */
            ratio: number;
            /** Format: int64 */
            runs: number;
            /** Format: double */
            spread: number;
        };
        Chart: {
            choices: string[] | null;
            heat?: components["schemas"]["Heat"];
            limits: components["schemas"]["Limit"][] | null;
            lines: components["schemas"]["Line"][] | null;
            name: string;
            note: string;
            spans: components["schemas"]["Span"][] | null;
            title: string;
            x: components["schemas"]["Axis"];
            y: components["schemas"]["Axis"];
        };
        Column: {
            name: string;
            published: boolean;
            /** Format: int64 */
            runs: number;
        };
        Connections: {
            /** Format: int64 */
            attempted: number;
            /** Format: double */
            bytes_each: number;
            connect_ms: components["schemas"]["Latency"];
            /** Format: int64 */
            ended: number;
            errors?: string[] | null;
            /** Format: double */
            held_cpu?: number;
            /** Format: double */
            held_s: number;
            /** Format: double */
            held_tool_cpu?: number;
            /** Format: double */
            machine_bytes_each?: number;
            /** Format: double */
            per_s: number;
            /** Format: double */
            server_mib: number;
            /** Format: int64 */
            succeeded: number;
            /** Format: double */
            tool_bytes_each?: number;
        };
        Cost: {
            hops?: components["schemas"]["Hop"][] | null;
            /** Format: double */
            machine_switches?: number;
            /** Format: int64 */
            messages: number;
            processes: components["schemas"]["Process"][] | null;
            /** Format: double */
            seconds: number;
            together: components["schemas"]["Process"];
        };
        Drift: {
            /** Format: double */
            first_mib: number;
            /** Format: double */
            first_p95_ms: number;
            /** Format: double */
            hours: number;
            /** Format: double */
            last_mib: number;
            /** Format: double */
            last_p95_ms: number;
            /** Format: double */
            mib_per_hour: number;
            /** Format: double */
            p95_ms_per_hour: number;
        };
        Fact: {
            name: string;
            value: string;
        };
        Facts: {
            facts: components["schemas"]["Fact"][] | null;
            title: string;
        };
        Heat: {
            bounds: number[] | null;
            from: number[] | null;
            shares: (number[] | null)[] | null;
            to: number[] | null;
        };
        Hop: {
            /** Format: double */
            batches: number;
            /** Format: double */
            items: number;
            name: string;
            process: string;
        };
        Latency: {
            /** Format: double */
            max: number;
            /** Format: double */
            p50: number;
            /** Format: double */
            p90: number;
            /** Format: double */
            p95: number;
            /** Format: double */
            p99: number;
            /** Format: double */
            p999: number;
        };
        Limit: {
            label: string;
            of_x: boolean;
            published: boolean;
            /** Format: double */
            value: number;
        };
        Line: {
            choice: string;
            dash: string;
            /** Format: double */
            gap: number;
            marks: boolean;
            name: string;
            /** Format: int64 */
            tone: number;
            x: number[] | null;
            y: number[] | null;
        };
        Listing: {
            head: string[] | null;
            lead: string;
            rows: (string[] | null)[] | null;
            title: string;
        };
        Machine: {
            arch: string;
            /** Format: int64 */
            cores: number;
            /** Format: int64 */
            memory_mib?: number;
            os: string;
            processor?: string;
            speed?: components["schemas"]["Speed"];
        };
        Page: {
            sections: components["schemas"]["Section"][] | null;
            title: string;
        };
        Process: {
            /** Format: int64 */
            count: number;
            /** Format: double */
            cpu_s: number;
            name: string;
            switches?: components["schemas"]["Switches"];
            /** Format: double */
            system_s?: number;
            /** Format: double */
            wait_ms?: number;
        };
        Queue: {
            /** Format: double */
            drain_s: number;
            /** Format: int64 */
            peak: number;
        };
        Report: {
            /** Format: int64 */
            accepted: number;
            accepted_ms: components["schemas"]["Latency"];
            acts?: components["schemas"]["Act"][] | null;
            /** Format: date-time */
            at: string;
            complete_ms: components["schemas"]["Latency"];
            connections?: components["schemas"]["Connections"];
            cost?: components["schemas"]["Cost"];
            /** Format: int64 */
            delivered: number;
            /** Format: double */
            deliveries_per_s: number;
            drift?: components["schemas"]["Drift"];
            /** Format: int64 */
            duplicated: number;
            /** Format: int64 */
            failed: number;
            /** Format: int64 */
            foreign: number;
            heat_bounds_ms: number[] | null;
            latency_ms: components["schemas"]["Latency"];
            limit?: string;
            /** Format: int64 */
            lost: number;
            machine: components["schemas"]["Machine"];
            /** Format: double */
            msgs_per_s: number;
            notes?: string[] | null;
            offenders?: string[] | null;
            /** Format: int64 */
            out_of_order: number;
            parameters: {
                [key: string]: string;
            };
            queue: components["schemas"]["Queue"];
            /** Format: double */
            rate: number;
            /** Format: int64 */
            refused: number;
            /** Format: int64 */
            repaired: number;
            return?: components["schemas"]["Return"];
            scenario: string;
            schema: string;
            send_lag_ms: components["schemas"]["Latency"];
            /** Format: int64 */
            sent: number;
            series: components["schemas"]["Second"][] | null;
            steps: components["schemas"]["Result"][] | null;
            target: string;
            /** Format: int64 */
            unanswered: number;
            /** Format: int64 */
            unasked: number;
            versions: components["schemas"]["Versions"];
        };
        Result: {
            /** Format: int64 */
            accepted: number;
            accepted_ms: components["schemas"]["Latency"];
            /** Format: int64 */
            asked: number;
            complete_ms: components["schemas"]["Latency"];
            cost?: components["schemas"]["Cost"];
            /** Format: int64 */
            delivered: number;
            /** Format: double */
            deliveries_per_s: number;
            /** Format: double */
            drain_s: number;
            /** Format: int64 */
            failed: number;
            /** Format: double */
            from_s: number;
            label?: string;
            latency_ms: components["schemas"]["Latency"];
            /** Format: int64 */
            missing: number;
            /** Format: double */
            msgs_per_s: number;
            /** Format: int64 */
            queue_peak: number;
            /** Format: double */
            rate: number;
            /** Format: int64 */
            refused: number;
            send_lag_ms: components["schemas"]["Latency"];
            /** Format: int64 */
            sent: number;
            /** Format: double */
            to_s: number;
        };
        Return: {
            afterwards_ms: components["schemas"]["Latency"];
            /** Format: double */
            all_s: number;
            errors?: string[] | null;
            /** Format: int64 */
            missed: number;
            /** Format: double */
            peak_cpu: number;
            /** Format: int64 */
            people: number;
            /** Format: int64 */
            returned: number;
            /** Format: double */
            spread_s: number;
            synced_ms: components["schemas"]["Latency"];
        };
        Row: {
            better: string;
            cells: components["schemas"]["Cell"][] | null;
            label: string;
            name: string;
            unit: string;
        };
        Run: {
            /** Format: date-time */
            at: string;
            facts: components["schemas"]["Facts"][] | null;
            figures: components["schemas"]["Tile"][] | null;
            headline: string;
            limit: string;
            listings: components["schemas"]["Listing"][] | null;
            machine: string;
            name: string;
            notes: string[] | null;
            offenders: string[] | null;
            system: string;
            /** Format: int64 */
            tone: number;
            verdict: components["schemas"]["Verdict"];
        };
        Second: {
            /** Format: int64 */
            accepted: number;
            /** Format: double */
            at_s: number;
            /** Format: int64 */
            connected: number;
            /** Format: double */
            cpu?: number;
            /** Format: int64 */
            delivered: number;
            heat?: number[] | null;
            /** Format: int64 */
            in_flight: number;
            /** Format: double */
            memory_mib?: number;
            /** Format: double */
            p50_ms: number;
            /** Format: double */
            p95_ms: number;
            /** Format: double */
            p99_ms: number;
            /** Format: int64 */
            queue: number;
            /** Format: int64 */
            refused: number;
            /** Format: int64 */
            sent: number;
        };
        Section: {
            charts: components["schemas"]["Chart"][] | null;
            compared?: components["schemas"]["Table"];
            lead: string;
            runs: components["schemas"]["Run"][] | null;
            scenario: string;
            title: string;
        };
        Span: {
            /** Format: double */
            from: number;
            label: string;
            /** Format: double */
            to: number;
        };
        Speed: {
            /** Format: double */
            context_switch_us?: number;
            fdatasync_in?: string;
            /** Format: double */
            fdatasync_ms?: number;
            /** Format: double */
            goroutine_ns?: number;
            /** Format: double */
            syscall_ns?: number;
            /** Format: double */
            wake_up_us?: number;
        };
        Switches: {
            /** Format: double */
            involuntary: number;
            /** Format: double */
            voluntary: number;
        };
        Table: {
            columns: components["schemas"]["Column"][] | null;
            notes: string[] | null;
            rows: components["schemas"]["Row"][] | null;
            scenario: string;
        };
        Tile: {
            label: string;
            unit: string;
            value: string;
        };
        Verdict: {
            checked: boolean;
            kept: boolean;
            title: string;
            words: string;
        };
        Versions: {
            go: string;
            revision?: string;
            target?: string;
            tool: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
