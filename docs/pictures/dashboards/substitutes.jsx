// What Grafana draws by code that is in none of its packages, drawn to look alike.

import { formattedValueToString, getFieldDisplayName } from '@grafana/data';

/** Neighbouring samples with one text are one box. */
function boxes({ fields: [time, field] }) {
  const found = [];
  field.values.forEach((value, at) => {
    const shown = field.display(value);
    const text = formattedValueToString(shown);
    const last = found.at(-1);
    if (last?.text === text) last.end = time.values[at];
    else found.push({ text, color: shown.color, begin: time.values[at], end: time.values[at] });
  });
  return found;
}

export function StateTimeline({ data, timeRange, theme, width, height }) {
  const names = 150;
  const [begin, end] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  const at = (time) => ((time - begin) / (end - begin)) * (width - names);
  const row = Math.min(height / data.length, 60);
  return (
    <svg width={width} height={height} fontFamily="Inter" fontSize={12} fill={theme.colors.text.primary}>
      {data.map((frame, index) => (
        <g key={index} transform={`translate(0 ${index * row})`}>
          <text x={names - 8} y={row / 2} textAnchor="end" dominantBaseline="central">
            {getFieldDisplayName(frame.fields[1], frame, data)}
          </text>
          {boxes(frame).map(({ text, color, begin, end }) => (
            <g key={begin} transform={`translate(${names + at(begin)} ${row * 0.1})`}>
              <rect width={Math.max(at(end) - at(begin), 1)} height={row * 0.8} fill={color} fillOpacity={0.7} />
              {at(end) - at(begin) > 40 && <text x={6} y={row * 0.4} dominantBaseline="central">{text}</text>}
            </g>
          ))}
        </g>
      ))}
    </svg>
  );
}

export function BarChart({ panel, data: [frame], theme, width, height }) {
  const named = (name) => frame.fields.find((field) => getFieldDisplayName(field, frame) === name);
  const labels = named(panel.options.xField).values;
  const { values, display } = frame.fields.find(({ type }) => type === 'number');
  const [step, foot] = [width / values.length, height - 24];
  const tall = (value) => (value / Math.max(...values)) * (foot - 28);
  return (
    <svg width={width} height={height} fontFamily="Inter" fontSize={14} textAnchor="middle"
      fill={theme.colors.text.primary}>
      {values.map((value, at) => (
        <g key={labels[at]} transform={`translate(${(at + 0.5) * step} ${foot})`}>
          <rect x={-step * 0.35} y={-tall(value)} width={step * 0.7} height={tall(value)} fill={display(value).color}
            fillOpacity={0.8} />
          <text y={-tall(value) - 8}>{formattedValueToString(display(value))}</text>
          <text y={18}>{labels[at]}</text>
        </g>
      ))}
    </svg>
  );
}
