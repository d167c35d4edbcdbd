// The panels, as Grafana's own plug-ins put its components together.

import { dateTime, getDisplayValueAlignmentFactors, getFieldDisplayValues, VizOrientation } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { from, to } from './data.js';
import { BarChart, StateTimeline } from './substitutes.jsx';

const ends = { from: dateTime(from * 1000), to: dateTime(to * 1000) };
const timeRange = { ...ends, raw: ends };

function values({ panel, data, fieldConfig, theme }) {
  const reduceOptions = { values: false, calcs: ['lastNotNull'], ...panel.options.reduceOptions };
  const replaceVariables = (text) => text;
  return getFieldDisplayValues({ data, reduceOptions, fieldConfig, replaceVariables, theme, timeZone: 'browser' });
}

/** Between bars, and between the cells of one. */
const spacing = ({ displayMode }) => (displayMode === 'lcd' ? 2 : 10);

function Repeated({ orientation, children, ...props }) {
  return (
    <VizRepeater
      source={props.data}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      getValues={() => values(props)}
      renderValue={children}
      renderCounter={0}
      width={props.width}
      height={props.height}
      minVizHeight={16}
      minVizWidth={8}
      maxVizHeight={props.panel.options.maxVizHeight ?? 300}
      itemSpacing={spacing(props.panel.options)}
      orientation={orientation}
    />
  );
}

function Stat(props) {
  const { colorMode, graphMode, textMode } = props.panel.options;
  return (
    <Repeated {...props} orientation={VizOrientation.Auto}>
      {({ value, alignmentFactors, width, height }) => (
        <BigValue value={value.display} theme={props.theme}
          {...{ colorMode, graphMode, textMode, alignmentFactors, width, height }} />
      )}
    </Repeated>
  );
}

function Bars(props) {
  const { displayMode, valueMode, orientation, text } = props.panel.options;
  return (
    <Repeated {...props} orientation={orientation}>
      {({ value, alignmentFactors, orientation, width, height }) => (
        <BarGauge value={value.display} field={value.field} theme={props.theme}
          itemSpacing={spacing(props.panel.options)} lcdCellWidth={12}
          display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
          valueDisplayMode={valueMode} {...{ displayMode, text, alignmentFactors, orientation, width, height }} />
      )}
    </Repeated>
  );
}

/** There is no place on an axis for NaN, which is what a quantile of nothing is. */
function drawable(frame) {
  const finite = (value) => (Number.isFinite(value) ? value : null);
  return { ...frame, fields: frame.fields.map((field) => ({ ...field, values: field.values.map(finite) })) };
}

function Lines({ panel, data, width, height }) {
  const legend = { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [], ...panel.options.legend };
  const frames = data.map(drawable);
  return <TimeSeries timeZone="browser" {...{ frames, timeRange, legend, width, height }} />;
}

function Rows({ panel, data, fieldConfig, width, height }) {
  const { showHeader, sortBy } = panel.options;
  return <TableNG data={data[0]} noHeader={!showHeader} enableVirtualization={false}
    {...{ sortBy, timeRange, fieldConfig, width, height }} />;
}

const PANELS = {
  stat: Stat,
  bargauge: Bars,
  timeseries: Lines,
  table: Rows,
  barchart: BarChart,
  'state-timeline': StateTimeline,
};

export function Panel(props) {
  const { panel, data, fieldConfig, width, height } = props;
  if (panel.type !== 'stat' && !data.some(({ length }) => length > 0)) {
    const style = { width, height, display: 'flex', alignItems: 'center', justifyContent: 'center' };
    return <div style={style}>{fieldConfig.defaults.noValue ?? 'No data'}</div>;
  }
  const Drawn = PANELS[panel.type];
  return <Drawn {...props} timeRange={timeRange} />;
}
